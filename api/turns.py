"""So many at once, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from typing import Any, ParamSpec, TypeVar

from api.errors import Overloaded

_REST = 5.0  # seconds
_IMPATIENT = 10.0  # seconds


P = ParamSpec("P")
R = TypeVar("R")


class Threads:
    """One piece of work after the other in an executor. A thread goes on with it when nobody waits any more:
    what it works on is in memory until it has ended."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._latest: Future[Any] | None = None

    def __call__(self, work: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> asyncio.Future[R]:
        """Its result."""
        self._latest = future = self._executor.submit(work, *arguments, **options)
        return asyncio.wrap_future(future)

    def when_ended(self, call: Callable[[], object]) -> None:
        """Calls, in this loop: at once, or when the work that is under way has ended."""
        if self._latest is None or self._latest.done():
            call()
            return
        loop = asyncio.get_running_loop()

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(call)

        self._latest.add_done_callback(ended)


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
        self._next_spare = asyncio.Lock()
        self._released = asyncio.Event()
        self._rested = rested
        self._rest: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, threads: Threads | None = None) -> AsyncIterator[None]:
        """Holds one of the places. threads: it is held until their work has ended, too. Raises Overloaded."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded("too long a wait for a turn", retry_after=self._patience) from None
        self._take()
        try:
            yield
        finally:
            if threads:
                threads.when_ended(self._release)
            else:
                self._release()

    async def take_spare(self) -> None:
        """Takes a place that nobody else wants, however long that lasts; `release_spare` gives it back.

        One is let through whenever a place is free, and after ten seconds waits for one as requests do, so
        that a service that is never idle gets there, too.
        """
        async with self._next_spare:
            impatient = asyncio.get_running_loop().time() + _IMPATIENT
            with suppress(TimeoutError):
                while self._places.locked() or (self._taken >= self._spare and self._taken_by_spare):
                    self._released.clear()
                    async with asyncio.timeout_at(None if self._taken_by_spare else impatient):
                        await self._released.wait()
            await self._places.acquire()
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
