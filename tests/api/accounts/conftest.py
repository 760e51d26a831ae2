"""The three places where keys may be kept."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from api.accounts import Ledger
from api.accounts.redis import open_redis
from api.accounts.sqlite import SqliteLedger
from tests.api.accounts.redis_server import BINARY, MISSING, redis_server
from tests.fakes import MemoryLedger


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests."""
    if BINARY is None:
        pytest.skip(MISSING)
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
async def redis_url(redis_process: str) -> str:
    """An empty Redis."""
    return await _empty(redis_process)


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    """An empty ledger of each kind."""
    made: Ledger
    if request.param == "memory":
        made = MemoryLedger()
    elif request.param == "sqlite":
        made = SqliteLedger(tmp_path / "a" / "accounts.sqlite", timeout=10)
    else:
        made, _ = open_redis(await _empty(request.getfixturevalue("redis_process")), timeout=10)
    yield made
    await made.close()


async def _empty(url: str) -> str:
    async with Redis.from_url(url) as redis:
        await redis.flushdb()
    return url
