"""RemoteEngine against workers that serve, stop, break, stall and lie."""

import asyncio
import time

import numpy as np
import pytest
from skimage.data import astronaut

from api.engine import LocalEngine
from api.errors import InferenceFailed, InvalidOptions, ModelUnavailable, OutOfMemory, Overloaded, as_error
from api.fleet.config import WorkersConfig
from api.fleet.link import WorkersUnavailable
from api.fleet.remote import RemoteEngine
from api.fleet.worker_link import WorkerLink
from api.types import Engine
from model import errors
from model.config import EngineConfig
from tests.api.fleet.workers import TOKEN, WorkersEngine, asking, looking_like_one, soon, until, working
from tests.fakes import SIDE

RGB = np.random.default_rng(0).integers(0, 256, (120, 90, 3), dtype=np.uint8)


async def test_the_same_matte_as_in_this_process() -> None:
    config = EngineConfig(models=("lite",), cores=1, device="cpu", precision="float32")
    local = LocalEngine(config)
    photo = astronaut()  # type: ignore[no-untyped-call]
    async with working(local) as worker:
        remote = RemoteEngine(config, [WorkerLink(worker.url, TOKEN, WorkersConfig())])
        await remote.start()
        engine: Engine = remote
        there = await engine.matte(photo, model="lite", deadline=soon(60))
        here = await local.matte(photo, model="lite", deadline=soon(60))
        assert there.dtype == np.float32
        assert there.shape == here.shape
        assert np.abs(there - here).mean() < 0.001
        assert engine.models() == local.models()
        status = engine.status()
        assert status["models"] == local.status()["models"]
        assert status["workers"] == [
            {"url": worker.url, "in_flight": 0, "breaker": "closed", "models": {"lite": "ready"}}
        ]
        await remote.close()


async def test_a_worker_that_comes_later() -> None:
    async with working() as first:
        port = int(first.url.rpartition(":")[2])
    async with asking(f"http://127.0.0.1:{port}") as engine:
        assert engine.status()["ready"] is False
        assert "does not answer" in engine.status()["models"]["lite"]["reason"]
        assert not engine.models()[0]["available"]
        started = time.monotonic()
        with pytest.raises(WorkersUnavailable) as refused:
            await engine.matte(RGB, model="lite", deadline=soon())
        assert time.monotonic() - started < 0.5
        assert as_error(refused.value).status == 503
        assert refused.value.retry_after
        async with working(port=port):
            await until(lambda: engine.status()["ready"])
            assert (await engine.matte(RGB, model="lite", deadline=soon())).shape == (SIDE, SIDE)
        await until(lambda: not engine.status()["ready"])


async def test_work_goes_to_who_has_the_least() -> None:
    engines = [WorkersEngine(holds=asyncio.Event()) for _ in range(2)]
    async with working(engines[0]) as one, working(engines[1]) as other, asking(one.url, other.url) as engine:
        asked = [asyncio.create_task(engine.matte(RGB, model="lite", deadline=soon())) for _ in range(6)]
        await until(lambda: sum(each.waiting for each in engines) == 6)
        assert [each.waiting for each in engines] == [3, 3]
        assert engine.waiting == 6
        for each in engines:
            assert each.holds
            each.holds.set()
        await asyncio.gather(*asked)


async def test_a_worker_that_stops_loses_nothing() -> None:
    one_engine, other_engine = WorkersEngine(), WorkersEngine()
    async with (
        working(one_engine) as one,
        working(other_engine) as other,
        asking(one.url, other.url) as engine,
    ):
        done = 0
        stop = asyncio.Event()

        async def ask() -> None:
            nonlocal done
            while not stop.is_set():
                await engine.matte(RGB, model="lite", deadline=soon())
                done += 1

        asking_tasks = [asyncio.create_task(ask()) for _ in range(4)]
        await until(lambda: one_engine.seen)
        one.stop()
        await asyncio.wait_for(one.task, 10)
        after = done
        await until(lambda: done > after + 8)
        stop.set()
        await asyncio.gather(*asking_tasks)
        assert other_engine.seen


async def test_a_broken_connection_is_tried_once_more() -> None:
    heads = []

    async def breaks(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        raise ConnectionResetError

    async with looking_like_one(breaks) as broken:
        healthy = WorkersEngine()
        async with working(healthy) as worker, asking(broken, worker.url) as engine:
            for _ in range(3):
                await engine.matte(RGB, model="lite", deadline=soon())
            assert len(healthy.seen) == 3
            assert healthy.alone == len(heads), "whom a worker was lost with is kept apart"
            assert 1 <= len(heads) <= 3
        heads.clear()
        async with asking(broken) as engine:
            with pytest.raises(errors.InferenceFailed, match="two workers were lost with it"):
                await engine.matte(RGB, model="lite", deadline=soon())
            assert len(heads) == 2, "twice, and not more"


async def test_the_breaker_spares_callers_the_wait() -> None:
    heads = []

    async def breaks(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        raise ConnectionResetError

    async with looking_like_one(breaks) as broken, asking(broken) as engine:
        for _ in range(2):
            with pytest.raises(errors.InferenceFailed):
                await engine.matte(RGB, model="lite", deadline=soon())
        for _ in range(2):
            with pytest.raises(WorkersUnavailable):
                await engine.matte(RGB, model="lite", deadline=soon())
        assert len(heads) == 5
        assert engine.status()["workers"][0]["breaker"] == "open"
        # Of that model alone: behind a proxy another one's pictures go to other workers.
        (link,) = engine._links
        link.breaker("basnet").check()


async def test_a_worker_that_is_slow_is_not_asked_twice() -> None:
    asked = []

    async def stalls(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(head)
        await asyncio.sleep(30)

    async with looking_like_one(stalls) as url:
        async with asking(url, read_timeout=0.2) as engine:
            with pytest.raises(WorkersUnavailable, match="ReadTimeout"):
                await engine.matte(RGB, model="lite", deadline=soon())
        async with asking(url, read_timeout=10) as engine:
            with pytest.raises(errors.DeadlineExceeded):
                await engine.matte(RGB, model="lite", deadline=soon(0.3))
        assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", id="no frame"),
        pytest.param(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nBad Gateway", id="a proxy's"),
        pytest.param(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\n[]", id="no problem"),
        pytest.param(b"SSH-2.0\r\n\r\n", id="no HTTP"),
    ],
)
async def test_an_answer_that_is_no_workers_goes_elsewhere(answer: bytes) -> None:
    async def says(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16 + SIDE * SIDE * 3)
        writer.write(answer)

    async with looking_like_one(says) as url, working() as worker, asking(url, worker.url) as engine:
        assert (await engine.matte(RGB, model="lite", deadline=soon())).shape == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("fails", "raised", "calls"),
    [
        pytest.param(errors.Overloaded("full", retry_after=3), Overloaded, 1, id="overloaded"),
        pytest.param(errors.InferenceFailed("NaN"), InferenceFailed, 1, id="failed"),
        pytest.param(errors.OutOfMemory("full"), OutOfMemory, 1, id="out of memory"),
        pytest.param(errors.ModelUnavailable("it is not here"), ModelUnavailable, 2, id="unavailable"),
        pytest.param(errors.DeviceLost("gone"), ModelUnavailable, 2, id="device lost"),
    ],
)
async def test_what_a_worker_says_of_a_picture(fails: Exception, raised: type[Exception], calls: int) -> None:
    fake = WorkersEngine(fails=fails)
    async with working(fake) as worker, asking(worker.url) as engine:
        with pytest.raises(raised) as told:
            await engine.matte(RGB, model="lite", deadline=soon())
        assert len(fake.seen) == calls
        assert engine.status()["workers"][0]["breaker"] == "closed"
        if isinstance(told.value, Overloaded):
            assert told.value.retry_after
        if isinstance(fails, errors.ModelUnavailable):
            assert as_error(told.value).public == "it is not here"


async def test_another_token_is_told() -> None:
    async with working() as worker, asking(worker.url, token="another token") as engine:
        assert engine.status()["ready"] is False
        assert "A valid key is required" in engine.status()["models"]["lite"]["reason"]


async def test_names_that_no_worker_is_asked_for() -> None:
    async with working() as worker, asking(worker.url) as engine:
        with pytest.raises(InvalidOptions):
            await engine.matte(RGB, model="nope", deadline=soon())
        with pytest.raises(InvalidOptions):
            await engine.matte(RGB, model="lite", resolution=96, deadline=soon())
    with pytest.raises(ValueError, match="no such model: nope"):
        RemoteEngine(EngineConfig(models=("nope",)), [])
