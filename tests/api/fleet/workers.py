"""Workers in this process, on ports of the loopback; and servers that only look like one."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx

from api.fleet.config import WorkersConfig
from api.fleet.remote import RemoteEngine
from api.fleet.settings import WorkerSettings
from api.fleet.worker import Batching, WorkerService, create_worker, server_for
from api.fleet.worker_link import WorkerLink
from api.graceful import GracefulServer
from api.tracing import Tracing
from api.types import Deadline
from model.config import EngineConfig
from model.registry import REGISTRY
from postprocess.types import RGB, Alpha
from tests.fakes import SIDE, FakeEngine

TOKEN = "a-token-that-nobody-guesses"
SMALL = {"lite": replace(REGISTRY["lite"], size=(SIDE, SIDE))}
"""A registry of the fake engine's only model."""


@dataclass
class WorkersEngine(FakeEngine):
    """alone: how many pictures were to be kept from others."""

    alone: int = 0

    async def matte(
        self,
        rgb: RGB,
        *,
        model: str,
        resolution: int | None = None,
        deadline: Deadline,
        alone: bool = False,
    ) -> Alpha:
        self.alone += alone
        return await super().matte(rgb, model=model, resolution=resolution, deadline=deadline)


@dataclass
class Worker:
    """A worker that serves."""

    url: str
    service: WorkerService
    server: GracefulServer
    task: "asyncio.Task[None]"

    def stop(self) -> None:
        """As SIGTERM."""
        self.server.handle_exit(signal.SIGTERM, None)


@asynccontextmanager
async def working(
    engine: Batching | None = None,
    port: int = 0,
    drain_delay: float = 0.5,
    tracing: Tracing | None = None,
) -> AsyncIterator[Worker]:
    settings = WorkerSettings.model_validate(
        {"worker_token": TOKEN, "port": port, "drain_delay": drain_delay, "in_flight": 4}
    )
    app = create_worker(settings, engine=engine or WorkersEngine(), tracing=tracing)
    server = server_for(app, settings)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    bound = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Worker(f"http://127.0.0.1:{bound}", app.state.service, server, task)
    finally:
        server.should_exit = server.force_exit = True
        await task


@asynccontextmanager
async def asking(*urls: str, token: str = TOKEN, **config: float) -> AsyncIterator[RemoteEngine]:
    """An engine that speaks to these workers, and looks at them often."""
    workers = WorkersConfig.model_validate({"poll_interval": 0.05} | config)
    engine = RemoteEngine(
        EngineConfig(models=("lite",), cores=1),
        [WorkerLink(url, token, workers) for url in urls],
        registry=SMALL,
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()
        await asyncio.sleep(0.01)  # closed sockets are let go of in a later turn of the loop
        assert engine.waiting == 0


Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def looking_like_one(answer: Answer) -> AsyncIterator[str]:
    """A server that says it is ready, and does `answer` (its head, the streams) with every picture."""

    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            tasks.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                else:
                    await answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # closed sockets are let go of in a later turn of the loop


async def until(true: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def soon(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


def client_of(worker: Worker, token: str = TOKEN) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=worker.url, headers={"Authorization": f"Bearer {token}"})
