"""Keys, credits and windows in Redis: for several replicas that share them. Needs `objectcut[redis]`."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.accounts.keys import KeyRecord
from api.accounts.windows import Windows
from api.errors import AccountsUnavailable

_CONNECTIONS = 32
_KEY = "objectcut:"
_INDEX = "objectcut:keys"
_REVOKE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
return redis.call('HSETNX', KEYS[1], 'revoked_at', ARGV[1])
"""
_CHARGE = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local balance = redis.call('HGET', KEYS[1], 'balance')
if not balance then return 1 end
if tonumber(balance) < tonumber(ARGV[1]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[2])
return 1
"""
_GRANT = """
if not redis.call('HGET', KEYS[1], 'balance') then return 0 end
redis.call('HINCRBY', KEYS[1], 'balance', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'granted', ARGV[1])
return 1
"""


class RedisLedger:
    """A Ledger. A key is a hash, its numbers absent where they are None; what reads and writes is a script.

    Nothing is tried twice: a charge whose answer was lost may have been made.
    """

    def __init__(self, pool: BlockingConnectionPool) -> None:
        self._redis = Redis(connection_pool=pool)
        self._revoke, self._charge, self._grant = map(self._redis.register_script, (_REVOKE, _CHARGE, _GRANT))

    async def add(self, record: KeyRecord) -> None:
        """See Ledger."""
        fields: dict[str, str | int | None] = {
            "digest": record.digest.hex(),
            "plan": record.plan,
            "label": record.label,
            "created_at": record.created_at,
            "revoked_at": record.revoked_at,
            "balance": record.balance,
            "granted": record.granted,
        }
        present: dict[Any, Any] = {name: value for name, value in fields.items() if value is not None}
        async with _answering(), self._redis.pipeline(transaction=True) as together:
            together.hset(_KEY + record.id, mapping=present)
            together.zadd(_INDEX, {record.id: record.created_at})
            await together.execute()

    async def find(self, id: str) -> KeyRecord | None:
        """See Ledger."""
        async with _answering():
            return _record(id, await self._redis.hgetall(_KEY + id))

    async def all(self) -> list[KeyRecord]:
        """See Ledger."""
        async with _answering(), self._redis.pipeline(transaction=False) as together:
            ids = [str(id) for id in await self._redis.zrange(_INDEX, 0, -1)]
            for id in ids:
                together.hgetall(_KEY + id)
            found = map(_record, ids, await together.execute())
            return [record for record in found if record is not None]

    async def revoke(self, id: str) -> bool:
        """See Ledger."""
        async with _answering():
            return bool(await self._revoke([_KEY + id], [int(time.time())]))

    async def charge(self, id: str, amount: int) -> bool:
        """See Ledger."""
        async with _answering():
            return bool(await self._charge([_KEY + id], [amount, -amount]))

    async def grant(self, id: str, amount: int) -> bool:
        """See Ledger."""
        async with _answering():
            return bool(await self._grant([_KEY + id], [amount]))

    async def close(self) -> None:
        """See Ledger."""
        await self._redis.aclose(close_connection_pool=True)


def open_redis(url: str, timeout: float) -> tuple[RedisLedger, Windows]:
    """A ledger, and windows over the same connections, which the ledger's `close` ends.

    timeout: seconds for a connection, for an answer, and for one of the connections to be free.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # by the third one redis-py does not look whether the server has closed a connection
        decode_responses=True,
    )
    shared: dict[str, Any] = {"connection_pool": pool}  # an option that limits' annotations leave out
    storage = RedisStorage(
        f"async+{url}",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="objectcut:windows",
        **shared,
    )
    return RedisLedger(pool), Windows(storage)


def _record(id: str, fields: Mapping[Any, Any]) -> KeyRecord | None:
    if not fields:
        return None

    def number(name: str) -> int | None:
        return int(fields[name]) if name in fields else None

    return KeyRecord(
        id=id,
        digest=bytes.fromhex(fields["digest"]),
        plan=fields["plan"],
        label=fields["label"],
        created_at=int(fields["created_at"]),
        revoked_at=number("revoked_at"),
        balance=number("balance"),
        granted=number("granted"),
    )


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise AccountsUnavailable(f"{type(exc).__name__}: {exc}") from exc
