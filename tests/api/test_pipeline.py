"""The page: stages in their order, one clock, bounded pictures, names that nobody can guess."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from api import pipeline as page
from api.errors import DeadlineExceeded, NoSubject, Overloaded, SourceUnreachable, as_error
from api.options import CutoutOptions
from api.pipeline import Job, Outcome, Pipeline
from api.stopwatch import Stopwatch
from api.turns import Turns
from model.deadline import Deadline
from tests.fakes import FakeClock, FakeEngine, FakeFetcher, InlineDecoder, memory_store, photo

PHOTO = photo()
URL = "https://img.example/a.jpg"
STAGES = ["fetch", "decode", "matte", "refine", "compose", "encode"]


class Parts:
    """A pipeline over fakes; `seen` are the stages that it reported."""

    def __init__(self, **given: Any) -> None:
        self.seen: list[str] = []
        self.fetcher = FakeFetcher({URL: PHOTO})
        self.engine = FakeEngine()
        self.store = memory_store()
        self.executor = ThreadPoolExecutor(1)
        parts: dict[str, Any] = {
            "fetcher": self.fetcher,
            "decoder": InlineDecoder(),
            "engine": self.engine,
            "store": self.store,
            "executor": self.executor,
            "naming_key": b"key",
            "stopwatch": partial(Stopwatch, lambda stage, _: self.seen.append(stage)),
        }
        self.pipeline = Pipeline(**parts | given)

    async def run(self, job: Job, deadline: Deadline | None = None) -> Outcome:
        return await self.pipeline.remove_background(job, deadline or Deadline.after(20))


@pytest.fixture
async def parts() -> AsyncIterator[Parts]:
    made = Parts()
    yield made
    made.executor.shutdown()


def test_it_is_a_page() -> None:
    assert len(Path(page.__file__).read_text().splitlines()) <= 120


async def test_the_stages_in_their_order(parts: Parts) -> None:
    outcome = await parts.run(Job(URL))
    assert list(dict.fromkeys(parts.seen)) == STAGES
    assert list(outcome.timings) == STAGES
    assert all(ms >= 0 for ms in outcome.timings.values())
    assert (outcome.encoded.width, outcome.encoded.height, outcome.model) == (96, 64, "lite")
    assert (outcome.id, outcome.link) == (None, None)
    assert parts.fetcher.asked == [URL]


async def test_storing_is_the_last(parts: Parts) -> None:
    outcome = await parts.run(Job(PHOTO, store=True))
    assert list(outcome.timings)[-1] == "store"
    assert outcome.id
    assert re.fullmatch(r"[0-9a-f]{32}\.png", outcome.id)
    assert outcome.link
    found = await parts.store.find(outcome.id, deadline=Deadline.after(1))
    assert found.facts == outcome.facts
    assert (await parts.store.read(outcome.id, deadline=Deadline.after(1)))[0] == outcome.encoded.body


async def test_a_background_is_fetched_and_decoded_too(parts: Parts) -> None:
    await parts.run(Job(PHOTO, background_image=URL))
    assert parts.seen == ["fetch", "fetch", "decode", "decode", *STAGES[2:]]


async def test_a_clock_that_has_run_out_stops_before_any_work(parts: Parts) -> None:
    clock = FakeClock()
    deadline = Deadline.after(1, clock)
    clock.now += 2
    with pytest.raises(Exception, match="no time left") as told:
        await parts.run(Job(URL), deadline)
    assert isinstance(as_error(told.value), DeadlineExceeded)
    assert parts.fetcher.asked == []
    assert parts.engine.seen == []


class Stuck:
    """Any part, for ever: and then so much time has passed that every clock of this loop has run out."""

    def __init__(self) -> None:
        self._skipped = 0.0
        loop = asyncio.get_running_loop()
        true_time = loop.time
        loop.time = lambda: true_time() + self._skipped  # type: ignore[method-assign] # a fake clock

    async def wait(self, *_: Any, **__: Any) -> Any:
        self._skipped += 3600
        await asyncio.Event().wait()

    fetch = decode = matte = put = wait

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self._skipped += 3600
        return Future()


class StuckAt(ThreadPoolExecutor):
    """Runs what it is given until the named function comes. names: of all that came."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(1)
        self.names: list[str] = []
        self._name = name

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self.names.append(work.__name__)
        if work.__name__ == self._name:
            return Stuck().submit()
        return super().submit(work, *arguments, **options)


@pytest.mark.parametrize("stage", ["fetch", "decode", "matte", "refine", "compose", "encode", "store"])
async def test_the_one_clock_ends_every_stage(stage: str) -> None:
    part = {"fetch": "fetcher", "decode": "decoder", "matte": "engine", "store": "store"}.get(stage)
    made = Parts(**{part: Stuck()} if part else {"executor": StuckAt(stage)})
    with pytest.raises(DeadlineExceeded, match=f"no time left in {stage}"):
        await made.run(Job(URL, store=True), Deadline.after(1000))
    assert STAGES[: [*STAGES, "store"].index(stage)] == [name for name in STAGES if name in made.seen]


async def test_work_on_pictures_is_done_by_the_executor() -> None:
    executor = StuckAt()
    made = Parts(executor=executor)
    await made.run(Job(PHOTO, store=True))
    assert executor.names == ["refine", "compose", "encode", "stored_name"]
    executor.shutdown()


async def test_decoded_pictures_are_bounded() -> None:
    made = Parts(turns=Turns(2))
    made.engine.holds = asyncio.Event()
    jobs = [asyncio.create_task(made.run(Job(PHOTO))) for _ in range(5)]
    while made.engine.waiting < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    assert made.engine.waiting == 2
    assert made.seen.count("decode") == 2
    made.engine.holds.set()
    assert len(await asyncio.gather(*jobs)) == 5
    made.executor.shutdown()


async def test_who_would_begin_too_late_is_turned_away() -> None:
    made = Parts(turns=Turns(1, 0.05))
    made.engine.holds = asyncio.Event()
    first = asyncio.create_task(made.run(Job(PHOTO)))
    while not made.engine.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    with pytest.raises(Overloaded) as told:
        await made.run(Job(PHOTO))
    assert told.value.retry_after
    assert made.seen.count("decode") == 1
    made.engine.holds.set()
    assert (await first).encoded.body
    assert (await made.run(Job(PHOTO))).encoded.body
    made.executor.shutdown()


async def test_places_of_failed_and_cancelled_jobs_are_free_again() -> None:
    made = Parts(turns=Turns(1))
    with pytest.raises(SourceUnreachable):
        await made.run(Job("https://img.example/none"))
    made.engine.fails = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await made.run(Job(PHOTO))
    made.engine.fails, made.engine.holds = None, asyncio.Event()
    job = asyncio.create_task(made.run(Job(PHOTO)))
    while not made.engine.waiting:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    made.engine.holds = None
    assert (await made.run(Job(PHOTO))).encoded.body
    made.executor.shutdown()


async def test_no_subject_to_crop_to(parts: Parts) -> None:
    parts.engine.empty = True
    with pytest.raises(NoSubject):
        await parts.run(Job(PHOTO, CutoutOptions(crop=True)))
    assert (await parts.run(Job(PHOTO))).bounding_box is None


@pytest.mark.parametrize("jump", [-1e6, 1e6])
async def test_a_wall_clock_that_jumps_ends_nothing_and_prolongs_nothing(
    jump: float, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline, late = Deadline.after(20), Deadline.after(0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert (await parts.run(Job(URL, store=True), deadline)).link
    with pytest.raises(Exception, match="no time left") as told:
        await parts.run(Job(URL), late)
    assert isinstance(as_error(told.value), DeadlineExceeded)


async def test_another_s_timeout_is_not_the_deadline_s() -> None:
    with pytest.raises(TimeoutError):
        async with Stopwatch().within(Deadline.after(10)):
            raise TimeoutError
