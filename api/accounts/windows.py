"""Requests and megapixels of the current minute."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from api.accounts.callers import Caller, Rate
from api.accounts.keys import THOUSAND
from api.errors import AccountsUnavailable, RateLimited


class Windows:
    """Fixed windows of a minute, each of which begins with its first request.

    storage: Redis's where replicas share them; by default they are this process's own.
    """

    def __init__(self, storage: Storage | None = None) -> None:
        self._limiter = FixedWindowRateLimiter(storage or MemoryStorage())

    async def enter(self, caller: Caller) -> None:
        """Takes one request. Raises RateLimited (also for want of megapixels), AccountsUnavailable."""
        with _reachable():
            await self._refuse_without_pixels(caller)
            item = _requests(caller)
            if item and not await self._limiter.hit(item, caller.bucket):
                raise await self._limited(caller, item, "requests")

    async def spend(self, caller: Caller, megapixels: float) -> None:
        """Takes megapixels while there are any left. Raises RateLimited, AccountsUnavailable."""
        with _reachable():
            await self._refuse_without_pixels(caller)
            if item := _pixels(caller):
                await self._limiter.hit(item, caller.bucket, cost=math.ceil(megapixels * THOUSAND))

    async def rate(self, caller: Caller) -> Rate | None:
        """What is left of the minute. Raises AccountsUnavailable."""
        requests, pixels = _requests(caller), _pixels(caller)
        item, unit = (requests, 1) if requests else (pixels, THOUSAND)
        if item is None:
            return None
        with _reachable():
            stats = await self._limiter.get_window_stats(item, caller.bucket)
        # A window that has not begun would end a minute from now.
        reset = stats.reset_time if stats.remaining < item.amount else time.time() + item.get_expiry()
        return Rate(math.ceil(item.amount / unit), stats.remaining // unit, math.ceil(reset))

    async def _refuse_without_pixels(self, caller: Caller) -> None:
        item = _pixels(caller)
        if item and not await self._limiter.test(item, caller.bucket):
            raise await self._limited(caller, item, "megapixels")

    async def _limited(self, caller: Caller, item: RateLimitItem, what: str) -> RateLimited:
        stats = await self._limiter.get_window_stats(item, caller.bucket)
        return RateLimited(
            f"{caller.id}: no {what} left",
            public=f"The {what} of this minute are used up.",
            retry_after=max(0.0, stats.reset_time - time.time()),
        )


def _requests(caller: Caller) -> RateLimitItem | None:
    limit = caller.plan.requests_per_minute
    return RateLimitItemPerMinute(limit, namespace="requests") if limit else None


def _pixels(caller: Caller) -> RateLimitItem | None:
    """Counted by the thousand: windows know whole numbers only."""
    limit = caller.plan.megapixels_per_minute
    return RateLimitItemPerMinute(math.ceil(limit * THOUSAND), namespace="kilopixels") if limit else None


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except StorageError as exc:
        raise AccountsUnavailable(f"{type(exc.storage_error).__name__}: {exc.storage_error}") from exc
