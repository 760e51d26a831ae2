"""What stores share: keys, links, and the sweep of what has expired."""

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from api.errors import NotFound
from api.storage.signing import MAX_LINK_SECONDS, UrlSigner
from api.types import Link, Store

logger = logging.getLogger(__name__)

_MORE_SECONDS = 1.0
_KEY = re.compile(r"[0-9a-f]{32}\.[a-z0-9]{2,5}")


@runtime_checkable
class ServedStore(Store, Protocol):
    """A store whose links lead back to this service: GET path_of(key), verified by `signer`."""

    signer: UrlSigner

    async def start(self) -> None:
        """Removes what a crash or time has left behind, and goes on doing so until `close`."""
        ...


def checked(key: str) -> str:
    """The key, if it is one of ours: 32 hex digits, a dot, an extension. Raises NotFound."""
    if not _KEY.fullmatch(key):
        raise NotFound("not a key of a stored object")
    return key


def path_of(key: str) -> str:
    """The route under which the service serves an object: what its link's signature covers."""
    return f"/v1/cutouts/{key}"


def put_time(now: float, ttl: float, life: float | None) -> float:
    """When an object that is to live `life` seconds more would have been put, had it the store's own `ttl`.

    Stores keep that time and nothing else. s
    """
    return now if life is None else now - max(0.0, ttl - life)


def link_end(ends_at: float, now: float) -> datetime:
    """When the link to an object that ends at `ends_at` stops working: then, or after a week. Whole s."""
    return datetime.fromtimestamp(int(min(ends_at, now + MAX_LINK_SECONDS)), UTC)


def signed_link(signer: UrlSigner, key: str, *, ends_at: float, now: float) -> Link:
    """The link to an object that lives until `ends_at`."""
    expires_at = link_end(ends_at, now)
    return Link(signer.sign(path_of(key), expires_at), expires_at)


class Sweeper:
    """Calls `sweep` every `period` seconds; what it raises is logged, and the next turn comes anyway.

    sweep: gives how much it has removed. most: what it removes at most in one turn: after such a one there is
    more to do, and the next one comes in a second.
    """

    def __init__(self, sweep: Callable[[], Awaitable[int]], period: float, *, most: float = math.inf) -> None:
        self._sweep, self._most = sweep, most
        self._period = self._pause = period
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns after the first turn. Once started, starting again does nothing."""
        if self._task is None:
            await self._turn()
            self._task = asyncio.create_task(self._run(), name="store sweeper")

    async def close(self) -> None:
        """Ends the task, even in the middle of a turn."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            await self._turn()

    async def _turn(self) -> None:
        began, self._pause = time.monotonic(), self._period
        try:
            removed = await self._sweep()
        except Exception:
            logger.exception("sweep of the store failed")
        else:
            if removed >= self._most:
                self._pause = min(_MORE_SECONDS, self._period)
            logger.debug("sweep of the store: %s removed in %.3f s", removed, time.monotonic() - began)
