"""A device that does what it is told, and a batcher over it that must be whole when a test leaves it."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from model.batcher import Batcher
from model.deadline import Deadline
from model.errors import DeviceLost, InferenceFailed, OutOfMemory
from tests.fakes import FakeClock

STICKY = "CUDA error: device-side assert triggered"


@dataclass
class ScriptedDevice:
    """Answers ten times each item. Its faults are properties of items and of the batch's size.

    poison: items whose batch raises. nan: items that fail in their place. short: items whose batch gives one
    result too few. sticky: items whose batch loses the device. fits: items that memory has room for.
    gate: while it is cleared, every run waits for it. clock: a run takes a second of it.
    """

    poison: set[int] = field(default_factory=set)
    nan: set[int] = field(default_factory=set)
    short: set[int] = field(default_factory=set)
    sticky: set[int] = field(default_factory=set)
    fits: float = math.inf
    runs: list[list[int]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.gate.set()

    def run(self, items: Sequence[int]) -> list[int | InferenceFailed]:
        self.runs.append(list(items))
        assert self.gate.wait(10)
        self.clock.now += 1
        if self.sticky & set(items):
            raise DeviceLost(STICKY)
        if len(items) > self.fits:
            raise OutOfMemory("CUDA out of memory")
        if self.poison & set(items):
            raise RuntimeError("poison")
        results = [InferenceFailed("NaN") if item in self.nan else item * 10 for item in items]
        return results[1:] if self.short & set(items) else results

    @property
    def sizes(self) -> list[int]:
        return [len(items) for items in self.runs]

    async def busy(self, runs: int = 1) -> None:
        """Waits until that many runs have begun."""
        async with asyncio.timeout(5):
            while len(self.runs) < runs:  # noqa: ASYNC110 - told by a thread
                await asyncio.sleep(0.001)


def later(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


@asynccontextmanager
async def serving(
    device: ScriptedDevice, *, alive: bool = True, **options: Any
) -> AsyncIterator[Batcher[int, int]]:
    """A batcher over the device.

    When a test leaves, the gauges are at zero, no task is left behind and, if the device is still alive, the
    next good request is answered.
    """
    settings = {"max_batch": 8, "max_wait": 0.0, "max_queue": 64, "streams": 1} | options
    before = asyncio.all_tasks()
    with ThreadPoolExecutor(settings["streams"]) as executor:
        batcher: Batcher[int, int] = Batcher(device.run, executor, **settings)
        try:
            yield batcher
        finally:
            device.gate.set()
        if alive:
            device.fits = math.inf
            async with asyncio.timeout(2):
                assert await batcher.submit(1000, later()) == 10_000
        await batcher.drain()
        assert (batcher.waiting, batcher.running) == (0, 0)
        assert asyncio.all_tasks() == before


async def outcomes(batcher: Batcher[int, int], items: Sequence[int]) -> list[int | BaseException]:
    """What each caller gets, all of them asking at once."""
    return await asyncio.gather(*(batcher.submit(item, later()) for item in items), return_exceptions=True)


def kinds(results: Sequence[int | BaseException]) -> list[object]:
    return [type(result) if isinstance(result, BaseException) else result for result in results]
