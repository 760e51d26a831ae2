"""Turns single requests into batches for a device, and keeps one item's failure from its neighbours."""

import asyncio
import itertools
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from model.deadline import Deadline
from model.errors import DeadlineExceeded, DeviceLost, Draining, InferenceFailed, OutOfMemory, Overloaded

__all__ = ["Batcher"]

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(eq=False, slots=True)
class _Job(Generic[T, R]):
    """One caller's item. since, started: seconds on the loop's clock, when it came and when it was last run.

    context: the caller's. alone: in a batch of its own. companions: items of that run, itself included.
    """

    item: T
    deadline: Deadline
    result: asyncio.Future[R]
    since: float
    context: Context
    alone: bool = False
    started: float = 0.0
    companions: int = 0

    def wanted(self) -> bool:
        """Whether somebody still waits and there is time left; tells the caller when time has run out."""
        if not self.result.done() and self.deadline.remaining() <= 0:
            self.fail(DeadlineExceeded("no time left in the queue"))
        return not self.result.done()

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
            self.result.exception()  # the caller may have left: then nobody else retrieves it


class Batcher(Generic[T, R]):
    """Dynamic batching over a blocking function. All methods belong to one event loop.

    run: takes up to `max_batch` items and gives as many results in their order, in a thread of `executor`.
        An InferenceFailed in a result's place fails that item. It may raise OutOfMemory: the batch is
        halved and the smaller cap kept for `oom_hold` seconds, then doubled on trial. DeviceLost: everybody
        who waits gets it, now and ever after, and `on_lost` is called once. Anything else, or a wrong number
        of results: the batch is bisected, until what fails is one item (at most 2*log2(n) runs more).
    group: what items of one batch have in common. The oldest item decides which group is next, so that none
        starves. cost: what an item counts for against the cap, at least 1; the same within a group.
    max_wait: seconds that a batch which is not full waits for more items while another one is on the
        device; an idle device never waits.
    max_queue: items that may wait, those on the device not counted.
    streams: batches on the device at once; `executor` must have as many threads.
    on_batch: called after every run that succeeded, with the number of its items.
    on_answer: called in the context of a caller who has a result, with the seconds for which its item waited
        and the number of items in its run.
    around: entered for every run, with the context of each item's caller and the seconds for which the item
        has waited.
    clock: monotonic, seconds. jitter: a factor on each Retry-After. Seams for tests.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Sequence[R | InferenceFailed]],
        executor: Executor,
        *,
        max_batch: int,
        max_wait: float,
        max_queue: int,
        streams: int = 1,
        group: Callable[[T], Hashable] = lambda _: None,
        cost: Callable[[T], float] = lambda _: 1.0,
        on_batch: Callable[[int], None] | None = None,
        on_answer: Callable[[float, int], None] | None = None,
        on_lost: Callable[[DeviceLost], None] | None = None,
        around: Callable[[Sequence[tuple[Context, float]]], AbstractContextManager[object]] = nullcontext,
        oom_hold: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2),  # noqa: S311 - no secret
    ) -> None:
        self._run = run
        self._executor = executor
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._max_queue = max_queue
        self._streams = streams
        self._group = group
        self._cost = cost
        self._on_batch = on_batch
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._around = around
        self._oom_hold = oom_hold
        self._clock = clock
        self._jitter = jitter
        self._queue: deque[_Job[T, R]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake: asyncio.Handle | None = None
        self._cap_until = 0.0
        self._rate = 0.0
        self._lost: DeviceLost | None = None
        self._draining = False
        self.cap = max_batch
        """Items of cost 1 in a batch now: `max_batch`, or fewer after the device ran out of memory."""
        self.running = 0
        """Items on the device, from dispatch until their last run has ended."""
        self.last_error: str | None = None
        """The latest failure of a run, for people."""

    @property
    def waiting(self) -> int:
        """Items in the queue."""
        return len(self._queue)

    def check_open(self) -> None:
        """Raises what `submit` would raise at once: Draining, DeviceLost, Overloaded."""
        if self._draining:
            raise Draining("the engine is shutting down")
        if self._lost:
            raise DeviceLost(str(self._lost))
        if len(self._queue) >= self._max_queue:
            raise Overloaded(f"{len(self._queue)} items wait already", retry_after=self._retry_after())

    async def submit(self, item: T, deadline: Deadline, *, alone: bool = False) -> R:
        """The item's result. alone: it is suspected, and shares no batch with others.

        Raises Overloaded, Draining, DeviceLost at once; DeadlineExceeded, InferenceFailed, OutOfMemory,
        DeviceLost later. A caller that is cancelled or late leaves the queue at that moment and never
        reaches the device; if it is there already, its result is dropped.
        """
        self.check_open()
        deadline.check("the queue")
        loop = asyncio.get_running_loop()
        job: _Job[T, R] = _Job(item, deadline, loop.create_future(), loop.time(), copy_context(), alone)
        self._queue.append(job)
        self._schedule()
        try:
            async with asyncio.timeout(deadline.remaining()):
                result = await job.result
        except TimeoutError:
            raise DeadlineExceeded("no time left before the result") from None
        finally:
            if job in self._queue:
                self._queue.remove(job)
        if self._on_answer:
            self._on_answer(job.started - job.since, job.companions)
        return result

    async def drain(self) -> None:
        """Refuses new items from now on and returns when the accepted ones have their answers."""
        self._draining = True
        while self._queue or self._tasks:
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))

    def _schedule(self, delay: float = 0.0) -> None:
        """Dispatches after `delay` seconds; 0: after this turn of the loop, whose submits go together."""
        if self._wake:
            self._wake.cancel()
        loop = asyncio.get_running_loop()
        self._wake = loop.call_later(delay, self._dispatch) if delay else loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Starts as many batches as there are streams for."""
        self._wake = None
        if self.cap < self._max_batch and self._clock() >= self._cap_until:
            self._set_cap(min(2 * self.cap, self._max_batch))
        while self._queue and len(self._tasks) < self._streams:
            jobs = self._next()
            if self._tasks and len(jobs) < self._limit(jobs) and not jobs[0].alone:
                delay = self._queue[0].since + self._max_wait - asyncio.get_running_loop().time()
                if delay > 0:
                    self._schedule(delay)
                    return
            for job in jobs:
                self._queue.remove(job)
            task = asyncio.create_task(self._serve(jobs))
            self._tasks.add(task)
            task.add_done_callback(self._finished)

    def _next(self) -> list[_Job[T, R]]:
        """The oldest item, and those of its group that go with it, in their order."""
        first = self._queue[0]
        if first.alone:
            return [first]
        group = self._group(first.item)
        jobs = (job for job in self._queue if not job.alone and self._group(job.item) == group)
        return list(itertools.islice(jobs, self._limit([first])))

    def _limit(self, jobs: list[_Job[T, R]]) -> int:
        """How many items like these a batch may hold."""
        return max(1, int(self.cap / self._cost(jobs[0].item)))

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._queue:
            self._schedule()

    async def _serve(self, jobs: list[_Job[T, R]]) -> None:
        self.running += len(jobs)
        try:
            await self._attempt(jobs)
        finally:
            self.running -= len(jobs)

    async def _attempt(self, jobs: list[_Job[T, R]]) -> None:
        """Answers all of the jobs, in more than one run if it must."""
        jobs = [job for job in jobs if job.wanted()]
        if self._lost:
            self._fail_all(jobs, self._lost)
        elif jobs and len(jobs) > (limit := self._limit(jobs)):
            await self._attempt_parts(jobs, limit)
        elif jobs:
            await self._attempt_whole(jobs)

    async def _attempt_parts(self, jobs: list[_Job[T, R]], size: int) -> None:
        for start in range(0, len(jobs), size):
            await self._attempt(jobs[start : start + size])

    async def _attempt_whole(self, jobs: list[_Job[T, R]]) -> None:
        half = len(jobs) // 2
        try:
            started = asyncio.get_running_loop().time()
            for job in jobs:
                job.started, job.companions = started, len(jobs)
            with self._around([(job.context, started - job.since) for job in jobs]):
                results = await self._timed_run([job.item for job in jobs])
        except DeviceLost as exc:
            self._lose(jobs, exc)
        except Exception as exc:
            self.last_error = f"{type(exc).__name__}: {exc}"
            _LOG.warning("a batch of %d failed: %s", len(jobs), self.last_error)
            if not half:
                known = isinstance(exc, OutOfMemory | InferenceFailed)
                jobs[0].fail(exc if known else InferenceFailed(self.last_error))
                return
            if isinstance(exc, OutOfMemory):
                self._set_cap(min(self.cap, math.ceil(half * self._cost(jobs[0].item))))
            await self._attempt_parts(jobs, len(jobs) - half)
        else:
            self._answer(jobs, results)

    async def _timed_run(self, items: list[T]) -> Sequence[R | InferenceFailed]:
        start = self._clock()
        results = await asyncio.get_running_loop().run_in_executor(self._executor, self._run, items)
        seconds = self._clock() - start
        if len(results) != len(items):
            raise InferenceFailed(f"{len(results)} results for {len(items)} items")
        rate = self._streams * len(items) / max(seconds, 1e-6)
        self._rate = 0.8 * self._rate + 0.2 * rate if self._rate else rate
        if self._on_batch:
            self._on_batch(len(items))
        return results

    def _answer(self, jobs: list[_Job[T, R]], results: Sequence[R | InferenceFailed]) -> None:
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, InferenceFailed):
                self.last_error = str(result)
                job.fail(result)
            elif not job.result.done():
                job.result.set_result(result)

    def _lose(self, jobs: list[_Job[T, R]], error: DeviceLost) -> None:
        """The device is gone for good: nobody shall wait for it."""
        self.last_error = str(error)
        _LOG.error("the device is lost: %s", error)
        first, self._lost = self._lost is None, error
        self._fail_all([*jobs, *self._queue], error)
        self._queue.clear()
        if first and self._on_lost:
            self._on_lost(error)

    def _fail_all(self, jobs: list[_Job[T, R]], error: DeviceLost) -> None:
        for job in jobs:
            job.fail(DeviceLost(str(error)))

    def _set_cap(self, cap: int) -> None:
        self.cap = cap
        self._cap_until = self._clock() + self._oom_hold

    def _retry_after(self) -> float:
        """Seconds until this queue is likely to be empty: whole, at least 1, not the same for all."""
        seconds = len(self._queue) / self._rate if self._rate else 1.0
        return max(1.0, math.ceil(seconds * self._jitter()))
