"""Over real sockets: stopping without losing a request, clients that hang up, and what is left behind."""

import asyncio
import gc
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
import uvicorn

from api.app import Service
from api.serve import GracefulServer, server_for
from api.source.isolation import DecodePool
from api.source.limits import DecodeLimits
from model.errors import InferenceFailed
from tests.fakes import FakeEngine, photo
from tests.processes import pictures
from tests.service import Served, serving

PHOTO = photo()
FILE = {"image": ("a.jpg", PHOTO)}


class Running:
    """A server on a port of the loopback, in this process."""

    def __init__(self, served: Served, server: uvicorn.Server, task: "asyncio.Task[None]", port: int) -> None:
        self.served, self.server, self.task, self.port = served, server, task, port
        self.origin = f"http://127.0.0.1:{port}"


@asynccontextmanager
async def listening(settings: dict[str, Any] | None = None, **parts: Any) -> AsyncIterator[Running]:
    async with serving({"drain_delay": 0.3, "port": 0} | (settings or {}), **parts) as served:
        served.app.router.lifespan_context = _already_running
        server = server_for(served.app)
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Running(served, server, task, port)
        finally:
            server.should_exit = server.force_exit = True
            await task


@asynccontextmanager
async def _already_running(_: Any) -> AsyncIterator[None]:
    yield


async def test_sigterm_loses_no_request() -> None:
    engine = FakeEngine(holds=asyncio.Event())
    async with listening(engine=engine) as running, httpx.AsyncClient(base_url=running.origin) as http:
        before = asyncio.create_task(http.post("/v1/cutouts", files=FILE))
        while not engine.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert (await http.get("/readyz")).status_code == 200

        running.server.handle_exit(signal.SIGTERM, None)

        async with httpx.AsyncClient(base_url=running.origin) as late:  # a connection of its own
            assert (await late.get("/readyz")).status_code == 503
            during = asyncio.create_task(late.post("/v1/cutouts", files=FILE))
            while engine.waiting < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            while running.server.servers[0].is_serving():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            assert not running.task.done()
            with pytest.raises(httpx.ConnectError):
                await httpx.AsyncClient().get(running.origin)
            assert engine.holds
            engine.holds.set()
            assert (await before).status_code == 201
            assert (await during).status_code == 201
        await asyncio.wait_for(running.task, 5)
        running.served.assert_at_rest()


@pytest.mark.parametrize(
    ("signals", "at_once"),
    [
        pytest.param([signal.SIGTERM], False, id="SIGTERM"),
        pytest.param([signal.SIGINT], True, id="SIGINT"),
        pytest.param([signal.SIGTERM, signal.SIGTERM], True, id="SIGTERM twice"),
    ],
)
async def test_how_soon_a_signal_stops(signals: list[signal.Signals], at_once: bool) -> None:
    async with listening({"drain_delay": 60}) as running:
        for each in signals:
            running.server.handle_exit(each, None)
        done, _ = await asyncio.wait({running.task}, timeout=5 if at_once else 0.4)
        assert bool(done) is at_once
        assert running.served.service.draining


async def test_a_lost_device_ends_the_process() -> None:
    async with listening() as running:
        running.served.service.lost = "lite: device-side assert"
        await asyncio.wait_for(running.task, 5)


async def hang_up(running: Running, sent: bytes) -> None:
    """Sends so much of a request, and closes."""
    _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.close()
    await writer.wait_closed()


HEAD = (
    b"POST /v1/cutouts HTTP/1.1\r\nHost: t\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
    % len(PHOTO)
)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"POST /v1", id="in the request line"),
        pytest.param(HEAD, id="before the body"),
        pytest.param(HEAD + PHOTO[: len(PHOTO) // 2], id="in the body"),
        pytest.param(HEAD + PHOTO, id="while inferring"),
    ],
)
async def test_clients_that_hang_up_leave_nothing_behind(sent: bytes) -> None:
    engine = FakeEngine(holds=asyncio.Event())
    async with listening(engine=engine) as running:
        tasks = len(asyncio.all_tasks())
        await asyncio.gather(*(hang_up(running, sent) for _ in range(25)))
        for _ in range(200):
            if running.served.metric("in_flight") == 0 and len(asyncio.all_tasks()) <= tasks:
                break
            await asyncio.sleep(0.02)
        running.served.assert_at_rest()
        assert len(asyncio.all_tasks()) <= tasks
        assert engine.waiting == 0
        assert engine.seen == []
        engine.holds = None
        async with httpx.AsyncClient(base_url=running.origin) as http:
            assert (await http.post("/v1/cutouts", files=FILE)).status_code == 201


async def test_whoever_leaves_an_event_stream_gives_its_place_back() -> None:
    engine = FakeEngine(holds=asyncio.Event())
    async with listening({"jobs": {"streams": 1}}, engine=engine) as running:
        async with httpx.AsyncClient(base_url=running.origin) as http:
            path = (await http.post("/v1/jobs", content=PHOTO)).headers["location"]
            served = 0
            while served < 3:  # in between, the server has to notice that the client has left
                async with http.stream("GET", f"{path}/events") as stream:
                    if stream.status_code == 200:
                        served += 1
                        lines = stream.aiter_lines()
                        assert await anext(lines) == ":"
                        assert (await http.get(f"{path}/events")).status_code == 429
                await asyncio.sleep(0.01)
        assert running.served.metric("in_flight") == 0


def request_of(path: str, media_type: str, body: bytes, accept: str = "*/*") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
        f"Accept: {accept}\r\nConnection: close\r\n\r\n"
    ).encode() + body


def form(name: str, data: bytes) -> tuple[str, bytes]:
    """Media type and body."""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="a"\r\n\r\n'
    return "multipart/form-data; boundary=b", head.encode() + data + b"\r\n--b--\r\n"


@contextmanager
def nothing_left_for_the_collector() -> Iterator[None]:
    """What is in here holds no picture and no descriptor afterwards, and no circle of our frames."""

    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), pictures()

    gc.collect()
    gc.disable()
    try:
        before = held()
        yield
        assert held() == before
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = str(Path(server_for.__code__.co_filename).parent)
        frames = [item.f_code for item in gc.garbage if isinstance(item, FrameType)]
        assert [code for code in frames if code.co_filename.startswith(ours)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


FAILS = InferenceFailed("NaN")


@pytest.mark.parametrize(
    ("sent", "status", "fails"),
    [
        pytest.param(request_of("/v1/cutouts", "image/jpeg", PHOTO, "image/png"), 200, None, id="bytes"),
        pytest.param(request_of("/v1/cutouts", "image/jpeg", PHOTO), 201, None, id="a link"),
        pytest.param(request_of("/v1/cutouts", "image/jpeg", PHOTO[:-99]), 422, None, id="a damaged picture"),
        pytest.param(request_of("/v1/cutouts", "image/jpeg", b"text"), 415, None, id="no picture"),
        pytest.param(request_of("/v1/cutouts?quality=0", "image/jpeg", PHOTO), 400, None, id="a bad option"),
        pytest.param(request_of("/v1/cutouts", "image/jpeg", PHOTO), 500, FAILS, id="the engine fails"),
        pytest.param(request_of("/api/remove", *form("file", PHOTO)), 500, FAILS, id="the same, as rembg"),
        pytest.param(request_of("/", *form("data", PHOTO)), 500, FAILS, id="the same, as basnet-http"),
        pytest.param(request_of("/v1.0/removebg", *form("image_file", PHOTO)), 500, FAILS, id="as remove.bg"),
        pytest.param(request_of("/v1/jobs", "image/jpeg", PHOTO), 202, FAILS, id="a job that fails"),
        pytest.param(request_of("/v1/cutouts", "image/jpeg", PHOTO), None, None, id="a client that leaves"),
    ],
)
async def test_what_a_request_held_is_let_go_of_at_once(
    sent: bytes, status: int | None, fails: Exception | None
) -> None:
    engine = FakeEngine(fails=fails, holds=None if status else asyncio.Event())
    decoder = DecodePool(DecodeLimits(), workers=1)
    async with listening({"jobs": {"attempts": 1}}, engine=engine, decoder=decoder) as running:

        async def ask() -> None:
            seen = len(engine.seen)
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(sent)
            if status:
                assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)
            if status in (None, 202):
                while not engine.waiting and len(engine.seen) == seen:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            writer.transport.abort()
            while running.served.metric("in_flight") or engine.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)  # threads and sockets let go of what they had last

        await ask()  # what is made at the first of its kind stays
        with nothing_left_for_the_collector():
            await ask()


async def test_clients_that_hang_up_while_downloading() -> None:
    async with listening({"limits": {"in_flight": 4}}) as running:
        large = photo(1500, 1500, ".png")
        head = HEAD.replace(b"%d" % len(PHOTO), b"%d" % len(large)).replace(
            b"Host: t", b"Host: t\r\nAccept: image/png"
        )
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(head + large)
            assert (await reader.read(12)).endswith(b"200")
            writer.transport.abort()
        for _ in range(200):
            if running.served.metric("in_flight") == 0:
                break
            await asyncio.sleep(0.02)
        running.served.assert_at_rest()


async def test_the_collector_does_not_look_again_at_what_stays() -> None:
    gc.unfreeze()
    async with listening():
        assert gc.get_freeze_count() > 10_000


async def test_the_server_does_not_introduce_itself() -> None:
    async with listening() as running, httpx.AsyncClient(base_url=running.origin) as http:
        answer = await http.get("/healthz")
        assert "server" not in answer.headers
        assert json.loads(answer.content) == {"status": "ok"}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "statuses"),
    [
        pytest.param([], ["198.51.100.1", "198.51.100.2"], [200, 429], id="nobody's word"),
        pytest.param(["127.0.0.0/8"], ["198.51.100.1", "198.51.100.2"], [200, 200], id="the proxy's"),
        pytest.param(
            ["127.0.0.1"], ["198.51.100.1", "6.6.6.6, 198.51.100.1"], [200, 429], id="its own entry"
        ),
    ],
)
async def test_whose_word_on_addresses_is_taken(
    proxies: list[str], forwarded: list[str], statuses: list[int]
) -> None:
    settings = {"trusted_proxies": proxies, "accounts": {"anonymous": {"requests_per_minute": 1}}}
    async with listening(settings) as running, httpx.AsyncClient(base_url=running.origin) as http:
        for address, status in zip(forwarded, statuses, strict=True):
            answer = await http.get("/v1/models", headers={"X-Forwarded-For": address})
            assert answer.status_code == status


def test_the_server_waits_for_what_is_in_flight() -> None:
    async def build() -> tuple[GracefulServer, Service]:
        async with serving({"limits": {"timeout": 7, "send_timeout": 4}}) as served:
            return server_for(served.app), served.service

    server, service = asyncio.run(build())
    assert server.config.timeout_graceful_shutdown == 11
    assert service.draining
