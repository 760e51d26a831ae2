"""One request's way through the stages: how long each took, and the end of its patience."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import TypeVar

from api.errors import DeadlineExceeded
from api.tracing import Span
from model.deadline import Deadline

T = TypeVar("T")


class Stopwatch:
    """timings: ms by stage, waiting included; a stage that ran twice is added up."""

    def __init__(self, observe: Callable[[str, float], None] | None = None, span: Span = nullcontext) -> None:
        """observe: is told each stage's name and seconds when it has succeeded. span: around each stage."""
        self.timings: dict[str, float] = {}
        self._observe, self._span = observe, span
        self._stage = "the start"

    async def __call__(self, stage: str, work: Awaitable[T]) -> T:
        """What `work` gives."""
        self._stage = stage
        started = time.perf_counter()
        with self._span(stage):
            result = await work
        seconds = time.perf_counter() - started
        if self._observe:
            self._observe(stage, seconds)
        self.timings[stage] = self.timings.get(stage, 0.0) + seconds * 1000
        return result

    @asynccontextmanager
    async def within(self, deadline: Deadline) -> AsyncIterator[None]:
        """Cancels what is inside when the time is over. Raises DeadlineExceeded, naming the stage."""
        try:
            async with asyncio.timeout(deadline.remaining()) as limit:
                yield
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise DeadlineExceeded(f"no time left in {self._stage}") from exc
