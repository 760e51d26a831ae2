"""So many at once, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from api.errors import Overloaded

_REST = 5.0  # seconds


class Turns:
    """places: how many may have a turn at once. patience: seconds that one may wait; None: as it likes.

    Who begins late would only run out of time later, after work that others needed: better to be told early.
    spare: work that nobody waits for begins only while fewer than so many places are taken.
    rested: called when for five seconds nobody has had a turn, after somebody had.
    """

    def __init__(
        self,
        places: int,
        patience: float | None = None,
        *,
        spare: int = 1,
        rested: Callable[[], object] = lambda: None,
    ) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience
        self._spare = spare
        self._taken = self._taken_by_spare = 0
        self._released = asyncio.Event()
        self._rested = rested
        self._rest: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Holds one of the places. Raises Overloaded."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded("too long a wait for a turn", retry_after=self._patience) from None
        self._take()
        try:
            yield
        finally:
            self._release()

    async def take_spare(self) -> None:
        """Takes a place that nobody else wants, however long that lasts; `release_spare` gives it back.

        One is let through whenever a place is free, so that a service that is never idle gets there, too.
        """
        while self._places.locked() or (self._taken >= self._spare and self._taken_by_spare):
            self._released.clear()
            await self._released.wait()
        await self._places.acquire()  # at once: it is not locked
        self._take()
        self._taken_by_spare += 1

    def release_spare(self) -> None:
        """Gives a place back that `take_spare` took."""
        self._taken_by_spare -= 1
        self._release()

    def _take(self) -> None:
        self._taken += 1
        if self._rest:
            self._rest.cancel()

    def _release(self) -> None:
        self._taken -= 1
        self._places.release()
        self._released.set()
        if not self._taken:
            self._rest = asyncio.get_running_loop().call_later(_REST, self._rested)
