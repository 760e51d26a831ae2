"""Places for requests: given back, and refused to who would wait in vain."""

from contextlib import ExitStack

import pytest

from api.errors import Overloaded
from api.limits import InFlight
from tests.fakes import FakeClock


def test_places_are_given_back_whatever_happens() -> None:
    places = InFlight(1)

    def fail() -> None:
        with places.place():
            assert places.count == 1
            raise KeyError

    for _ in range(3):
        with pytest.raises(KeyError):
            fail()
    assert places.count == 0
    with places.place(), pytest.raises(Overloaded) as told, places.place():
        pass
    assert told.value.retry_after
    assert told.value.retry_after > 0


def test_who_would_wait_too_long_is_told_at_once() -> None:
    clock = FakeClock()
    places = InFlight(100, at_once=2, patience=5.0, clock=clock)
    with ExitStack() as turns:
        queue = [turns.enter_context(ExitStack()) for _ in range(40)]
        for held in queue:
            held.enter_context(places.place())  # nothing is known of the pace yet
        for held in queue[:30]:
            clock.now += 2.0
            held.close()
        # Ten are left, eight of them waiting: 16 s at one every 2 s.
        with pytest.raises(Overloaded, match="would wait") as told, places.place():
            pass
        assert told.value.retry_after == pytest.approx(9 * 2.0 - 5.0, rel=0.1)
        for held in queue[30:37]:
            clock.now += 2.0
            held.close()
        with places.place():
            assert places.count == 4
        for held in queue[37:]:
            clock.now += 0.1
            held.close()
    clock.now += 3600  # a night without requests is no slow pace
    with places.place(), places.place(), places.place():
        assert places.count == 3


def test_a_slow_pace_is_unlearnt() -> None:
    clock = FakeClock()
    places = InFlight(100, at_once=2, patience=5.0, clock=clock)
    refused = []
    for seconds, rounds in ((6.0, 60), (0.2, 200)):
        refused.append(0)
        for _ in range(rounds):
            with ExitStack() as turns:
                queue = [turns.enter_context(ExitStack()) for _ in range(4)]
                for held in queue:
                    try:
                        held.enter_context(places.place())
                    except Overloaded:
                        refused[-1] += 1
                for held in queue:
                    clock.now += seconds
                    held.close()
    assert refused[0] > 0
    assert refused[1] < 100
    assert places._pace < 1
