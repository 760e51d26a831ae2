import pytest

from api.breaker import Breaker
from api.errors import StoreUnavailable
from tests.contract.store import Clock


def broken(clock: Clock) -> Breaker:
    breaker = Breaker(StoreUnavailable, threshold=3, pause=2, clock=clock)
    for _ in range(3):
        breaker.check()
        breaker.failed()
    return breaker


def test_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(StoreUnavailable, threshold=3, pause=2, clock=Clock(0))
    for outcome in (breaker.failed, breaker.failed, breaker.succeeded, breaker.failed, breaker.failed):
        outcome()
    breaker.check()
    breaker.failed()
    with pytest.raises(StoreUnavailable) as refused:
        breaker.check()
    assert refused.value.retry_after == 2


def test_lets_one_caller_probe_after_each_pause() -> None:
    clock = Clock(0)
    breaker = broken(clock)
    for _ in range(2):
        clock.now += 2
        breaker.check()
        with pytest.raises(StoreUnavailable):
            breaker.check()
        breaker.failed()


def test_probe_that_succeeds_closes_it() -> None:
    clock = Clock(0)
    breaker = broken(clock)
    clock.now += 2
    breaker.check()
    breaker.succeeded()
    breaker.check()
    breaker.check()


def test_probe_that_never_returns_does_not_keep_it_open() -> None:
    clock = Clock(0)
    breaker = broken(clock)
    clock.now += 2
    breaker.check()
    clock.now += 2
    breaker.check()
