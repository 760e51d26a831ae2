"""The loop that never ends by itself: so much at once, errors survived, work cancelled with it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from api.jobs.dispatch import Dispatcher


@dataclass
class Work:
    """Things to do, `errors` for the first times that they are asked for."""

    things: list[str] = field(default_factory=list)
    errors: int = 0
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def next_due(self) -> float | None:
        return time.time() if self.things else None

    async def take(self) -> str | None:
        if self.errors:
            self.errors -= 1
            raise RuntimeError("no database")
        return self.things.pop(0) if self.things else None

    async def do(self, thing: str) -> None:
        self.begun.append(thing)
        try:
            await self.go.wait()
            if thing == "bad":
                raise ValueError(thing)
        finally:
            self.ended.append(thing)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_so_many_at_once_and_a_failure_is_nobody_elses(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(["bad", "b", "c", "d"])
    dispatcher = Dispatcher(work.next_due, work.take, work.do, at_once=2)
    task = asyncio.create_task(dispatcher.run())
    await until(lambda: len(work.begun) == 2)
    await asyncio.sleep(0.02)
    assert work.begun == ["bad", "b"]
    work.go.set()
    await until(lambda: len(work.ended) == 4)
    assert "work that must not fail has failed" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_it_goes_on_after_an_error_of_the_source() -> None:
    work = Work(["a"], errors=1)
    work.go.set()
    task = asyncio.create_task(Dispatcher(work.next_due, work.take, work.do, at_once=1).run())
    await until(lambda: work.ended == ["a"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_waking_is_at_once() -> None:
    work = Work()
    work.go.set()
    dispatcher = Dispatcher(work.next_due, work.take, work.do, at_once=1)
    task = asyncio.create_task(dispatcher.run())
    await asyncio.sleep(0.02)
    work.things.append("a")
    dispatcher.wake()
    async with asyncio.timeout(0.5):  # the next look by itself would be later
        while not work.ended:
            assert not task.done()
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_ending_it_ends_its_work() -> None:
    work = Work(["a", "b"])
    task = asyncio.create_task(Dispatcher(work.next_due, work.take, work.do, at_once=2).run())
    await until(lambda: len(work.begun) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert sorted(work.ended) == ["a", "b"]
