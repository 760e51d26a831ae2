"""Decoding processes that do what a file tells them."""

import asyncio
from collections.abc import Iterator

import pytest

from api.errors import CorruptImage
from api.source.isolation import DecodePool, IsolationConfig
from api.source.limits import DecodeLimits
from api.types import Picture
from model.deadline import Deadline
from tests.api.source.hostile import ENTRY

LIMITS = DecodeLimits(max_pixels=2_000_000, max_bytes=5_000_000)


class Victim:
    """A pool that runs the deeds of tests.api.source.hostile."""

    def __init__(self, pool: DecodePool) -> None:
        self.pool = pool

    async def decode(self, data: bytes, seconds: float = 30) -> Picture:
        return await self.pool.decode(data, deadline=Deadline.after(seconds))

    async def says(self, deed: str) -> str:
        """What the process reports of a deed that it survives."""
        with pytest.raises(CorruptImage) as caught:
            await self.decode(deed.encode())
        return str(caught.value)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(LIMITS, IsolationConfig(cpu_seconds=1), workers=2, entry=ENTRY)
    asyncio.run(pool.start())
    yield pool
    asyncio.run(pool.close())


@pytest.fixture
def victim(pool: DecodePool) -> Victim:
    return Victim(pool)
