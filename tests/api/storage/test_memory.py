import asyncio

import pytest

from api.errors import NotFound, StoreFull
from api.storage import MemoryStore, UrlSigner
from tests.contract.served_store import BASE_URL, ServedStoreContract
from tests.contract.store import HOUR, TTL, Clock, Make, key_of, picture, soon


def opened(clock: Clock, **options: float) -> MemoryStore:
    return MemoryStore(UrlSigner([b"k" * 32], BASE_URL, clock=clock), clock=clock, **options)  # type: ignore[arg-type]


class TestMemoryStore(ServedStoreContract):
    @pytest.fixture
    def make(self, clock: Clock) -> Make:
        return lambda ttl: opened(clock, ttl_seconds=ttl)


async def test_is_full_at_its_bound_until_something_expires() -> None:
    clock = Clock()
    store = opened(clock, ttl_seconds=TTL, max_bytes=100)
    await store.put(key_of("a"), picture(b"x" * 60), facts={}, deadline=soon())
    clock.now += HOUR
    with pytest.raises(StoreFull) as refused:
        await store.put(key_of("b"), picture(b"x" * 60), facts={}, deadline=soon())
    assert (refused.value.code, refused.value.status) == ("storage_full", 503)
    await store.put(key_of("c"), picture(b"x" * 40), facts={}, deadline=soon())
    clock.now += TTL - HOUR
    await store.put(key_of("b"), picture(b"x" * 60), facts={}, deadline=soon())
    await store.find(key_of("c"), deadline=soon())


async def test_sweeps_by_itself() -> None:
    clock = Clock()
    store = opened(clock, ttl_seconds=TTL, sweep_seconds=0.01)
    await store.start()
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    clock.now += TTL
    await asyncio.sleep(0.1)
    clock.now -= TTL  # were it still there, it would be found again
    with pytest.raises(NotFound):
        await store.find(key_of("a"), deadline=soon())
    await store.close()


async def test_facts_are_copied() -> None:
    store, facts = opened(Clock()), {"a": "1"}
    await store.put(key_of("a"), picture(), facts=facts, deadline=soon())
    facts["a"] = "2"
    found = await store.find(key_of("a"), deadline=soon())
    assert dict(found.facts) == {"a": "1"}
