"""What stores promise on top whose objects the service serves itself."""

import asyncio
from urllib.parse import parse_qsl, urlsplit

import pytest

from api.errors import DeadlineExceeded, Forbidden, NotFound
from api.storage import ServedStore
from api.types import Deadline, Store
from tests.contract.store import TTL, Clock, StoreContract, key_of, picture, soon

BASE_URL = "http://cut.test/under"


class ServedStoreContract(StoreContract):
    """The suite of StoreContract and the rest of ServedStore."""

    async def open_link(self, store: Store, url: str) -> tuple[bytes, str]:
        assert isinstance(store, ServedStore)
        assert url.startswith(f"{BASE_URL}/v1/cutouts/")
        parts = urlsplit(url.removeprefix("http://cut.test/under"))
        store.signer.verify(parts.path, dict(parse_qsl(parts.query)))
        return await store.read(parts.path.removeprefix("/v1/cutouts/"), deadline=soon())

    async def test_link_stops_working_when_it_says(self, store: Store, clock: Clock) -> None:
        link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        assert link.expires_at is not None
        clock.now = link.expires_at.timestamp() - 1
        await self.open_link(store, link.url)
        clock.now += 1
        with pytest.raises(Forbidden):
            await self.open_link(store, link.url)

    async def test_read_of_what_is_not_there(self, store: ServedStore, clock: Clock) -> None:
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        with pytest.raises(NotFound):
            await store.read("../signing-key", deadline=soon())
        with pytest.raises(DeadlineExceeded):
            await store.read(key_of("a"), deadline=Deadline.after(0))
        clock.now += TTL
        with pytest.raises(NotFound):
            await store.read(key_of("a"), deadline=soon())

    async def test_start_twice_is_start_and_close_leaves_no_task(self, store: ServedStore) -> None:
        before = asyncio.all_tasks()
        await store.start()
        await store.start()
        assert len(asyncio.all_tasks() - before) == 1
        await store.close()
        assert asyncio.all_tasks() == before
