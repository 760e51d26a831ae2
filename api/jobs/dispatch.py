"""Works on what is due, so much of it at once."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")

_POLL_SECONDS = 1.0
"""Other processes may have added something, and they cannot wake us."""


class Dispatcher(Generic[T]):
    """next_due: when there will be something, Unix s; None: nothing is known of. take: the next thing, once
    there is room for it; None: nothing after all. work: does it. clock: seconds since 1970.
    """

    def __init__(
        self,
        next_due: Callable[[], Awaitable[float | None]],
        take: Callable[[], Awaitable[T | None]],
        work: Callable[[T], Awaitable[None]],
        *,
        at_once: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._next_due, self._take, self._work = next_due, take, work
        self._places = asyncio.Semaphore(at_once)
        self._clock = clock
        self._awake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Something may be due now."""
        self._awake.set()

    async def run(self) -> None:
        """Until it is cancelled; then so is the work, and it is waited for."""
        try:
            while True:
                try:
                    await self._turn()
                except Exception:
                    logger.exception("nothing could be taken on")
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _turn(self) -> None:
        self._awake.clear()
        due = await self._next_due()
        delay = _POLL_SECONDS if due is None else min(due - self._clock(), _POLL_SECONDS)
        if delay > 0:
            await self._sleep(delay)
            return
        await self._places.acquire()
        thing = None
        try:
            thing = await self._take()
        finally:
            if thing is None:
                self._places.release()
        if thing is None:
            await self._sleep(_POLL_SECONDS)
            return
        task = asyncio.create_task(self._safely(thing))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _safely(self, thing: T) -> None:
        try:
            await self._work(thing)
        except Exception:
            logger.exception("work that must not fail has failed")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        self.wake()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._awake.wait()
        except TimeoutError:
            pass
