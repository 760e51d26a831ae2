"""Blocking calls off the event loop, a bounded number at once, each inside its caller's deadline."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from api.errors import DeadlineExceeded
from api.types import Deadline

T = TypeVar("T")

_CLOSE_SECONDS = 5.0


def require_time(deadline: Deadline, stage: str) -> None:
    """Raises DeadlineExceeded (the API's, as stores promise) when no time is left for `stage`."""
    if deadline.remaining() <= 0:
        raise DeadlineExceeded(f"no time left before {stage}")


class BoundedThreads:
    """At most `workers` calls run at once and none queues behind them unseen.

    A caller whose deadline passes, or who is cancelled, stops waiting at once. Its call is left to end
    in its thread, and only then is the place free again: a server that hangs can hold `workers`
    threads, never one more.
    """

    def __init__(self, workers: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._places = asyncio.Semaphore(workers)
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, call: Callable[[], T], *, deadline: Deadline, stage: str) -> T:
        """What `call` returns or raises. Raises DeadlineExceeded, naming the stage."""
        await self._take_place(deadline, stage)
        try:
            # The context carries the request's id to the log lines of the thread.
            future = asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, call)
        except BaseException:
            self._places.release()
            raise
        self._running.add(future)
        future.add_done_callback(self._ended)
        # Not wait_for: that would cancel the future, and wait for the thread that cannot be cancelled.
        done, _ = await asyncio.wait({future}, timeout=deadline.remaining())
        if not done:
            raise DeadlineExceeded(f"no time left while {stage}")
        return future.result()

    async def close(self) -> None:
        """Waits for the calls under way, though not for one that hangs, and ends the threads."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=_CLOSE_SECONDS)
        self._pool.shutdown(wait=not self._running, cancel_futures=True)  # idle threads end at once

    async def _take_place(self, deadline: Deadline, stage: str) -> None:
        require_time(deadline, stage)
        try:
            async with asyncio.timeout(deadline.remaining()):
                await self._places.acquire()
        except TimeoutError:
            raise DeadlineExceeded(f"no time left waiting for {stage}") from None

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._running.discard(future)
        self._places.release()
        if not future.cancelled():
            future.exception()  # nobody may be left to read it: asyncio would complain about that
