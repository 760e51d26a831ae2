"""What is particular to Redis: replicas share everything, and a Redis that is away is told as such."""

import asyncio
import time
from pathlib import Path

import pytest

from api.accounts import Accounts, AccountsConfig, Caller, Ledger, Plan, Windows, open_state
from api.accounts.redis import open_redis
from api.errors import AccountsUnavailable, RateLimited
from tests.api.accounts.redis_server import BINARY, MISSING, free_port, redis_server
from tests.api.accounts.test_ledger import record

CALLER = Caller("key_1", Plan(name="p", requests_per_minute=5, megapixels_per_minute=10), "key_1")


def replica(url: str, timeout: float = 10) -> tuple[Ledger, Windows]:
    return open_state(AccountsConfig.model_validate({"redis_url": url, "timeout": timeout}))


async def test_replicas_share_keys_and_credits(redis_url: str) -> None:
    (one, _), (two, _) = replica(redis_url), replica(redis_url)
    await one.add(record(balance=40_000))
    taken = await asyncio.gather(*(each.charge(record().id, 1000) for each in [one, two] * 50))
    assert taken.count(True) == 40
    await two.revoke(record().id)
    found = await one.find(record().id)
    assert found
    assert found.revoked_at
    assert found.balance == 0
    await one.close()
    await two.close()


async def test_replicas_share_the_minute(redis_url: str) -> None:
    (one, here), (two, there) = replica(redis_url), replica(redis_url)
    for windows in (here, there, here, there, here):
        await windows.enter(CALLER)
    for windows in (here, there):
        with pytest.raises(RateLimited) as told:
            await windows.enter(CALLER)
        assert told.value.retry_after
        assert 0 < told.value.retry_after <= 60
        rate = await windows.rate(CALLER)
        assert rate
        assert (rate.limit, rate.remaining) == (5, 0)
        assert time.time() < rate.reset_epoch_seconds <= time.time() + 61
    await here.spend(CALLER, 11)
    with pytest.raises(RateLimited, match="megapixels"):
        await there.spend(CALLER, 0.1)
    await one.close()
    await two.close()


async def silent() -> tuple[asyncio.Server, str]:
    """Accepts, and never answers."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    return server, f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def everything_is_unavailable(url: str) -> None:
    ledger, windows = replica(url, timeout=0.3)
    for asked in (
        ledger.find("key_1"),
        ledger.add(record()),
        ledger.all(),
        ledger.revoke("key_1"),
        ledger.charge("key_1", 1),
        ledger.grant("key_1", 1),
        windows.enter(CALLER),
        windows.spend(CALLER, 1),
        windows.rate(CALLER),
    ):
        with pytest.raises(AccountsUnavailable):
            await asyncio.wait_for(asked, 10)
    await ledger.close()


async def test_a_redis_that_is_not_there() -> None:
    await everything_is_unavailable(f"redis://127.0.0.1:{free_port()}/0")


async def test_a_redis_that_never_answers() -> None:
    server, url = await silent()
    async with server:
        await everything_is_unavailable(url)


@pytest.fixture
def port() -> int:
    """For servers of the test's own, one after the other."""
    if BINARY is None:
        pytest.skip(MISSING)
    return free_port()


async def test_a_redis_that_goes_and_comes_back(tmp_path: Path, port: int) -> None:
    with redis_server(tmp_path, port) as url:
        ledger, windows = open_redis(url, timeout=5)
        await ledger.add(record())
        await windows.enter(CALLER)
    with pytest.raises(AccountsUnavailable):
        await ledger.find(record().id)
    with redis_server(tmp_path, port):
        assert await ledger.find(record().id) is None, "this one keeps nothing"
        await windows.enter(CALLER)
    await ledger.close()


async def test_connections_that_were_closed_cost_nobody_an_answer(tmp_path: Path, port: int) -> None:
    with redis_server(tmp_path, port) as url:
        ledger, _ = open_redis(url, timeout=5)
        await asyncio.gather(*(ledger.find(record().id) for _ in range(8)))
    with redis_server(tmp_path, port):
        await asyncio.sleep(0.1)
        assert await asyncio.gather(*(ledger.find(record().id) for _ in range(8))) == [None] * 8
    await ledger.close()


async def test_the_operator_needs_no_redis() -> None:
    config = AccountsConfig.model_validate({"redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    accounts = Accounts(config, *open_state(config), secret="s")
    operator = Caller("secret", Plan(name="operator"), "secret")
    async with accounts.paying(operator):
        await accounts.enter(operator)
        await accounts.spend_pixels(operator, 25)
    assert await accounts.rate(operator) is None
    await accounts.close()


def test_a_url_that_is_none() -> None:
    with pytest.raises(ValueError, match="schemes"):
        replica("http://:the-password@127.0.0.1:6379")
