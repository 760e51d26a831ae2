"""The real app over in-memory seams, with its lifespan, behind an ordinary HTTP client."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from fastapi import FastAPI

from api.accounts import Accounts
from api.app import Service, create_app
from api.jobs.courier import Courier
from api.settings import Settings
from api.tracing import Tracing
from api.types import Decoder, Engine, Fetcher, Store
from tests.fakes import BASE_URL, FakeEngine, FakeFetcher, InlineDecoder, memory_store

KEY = "a-key-of-some-length"


@dataclass
class Served:
    """A running app."""

    app: FastAPI
    http: httpx.AsyncClient

    @property
    def service(self) -> Service:
        service: Service = self.app.state.service
        return service

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 when there is none (yet)."""
        return self.service.metrics.registry.get_sample_value(f"objectcut_{name}", labels) or 0.0

    def assert_at_rest(self) -> None:
        """Nothing is held for a request that is over."""
        assert self.metric("in_flight") == 0
        assert self.metric("queue_depth") == 0


@asynccontextmanager
async def serving(
    settings: Mapping[str, Any] | None = None,
    *,
    fetcher: Fetcher | None = None,
    decoder: Decoder | None = None,
    engine: Engine | None = None,
    store: Store | None = None,
    accounts: Accounts | None = None,
    tracing: Tracing | None = None,
    courier: Courier | None = None,
) -> AsyncIterator[Served]:
    """Serves in this process. settings: over `anonymous=True`, one thread, a data directory of its own."""
    with TemporaryDirectory() as directory:
        defaults: dict[str, Any] = {"anonymous": True, "cpu_jobs": 1, "pictures": 4, "data_dir": directory}
        app = create_app(
            Settings(**defaults | dict(settings or {})),
            fetcher=fetcher or FakeFetcher(),
            decoder=decoder or InlineDecoder(),
            engine=engine or FakeEngine(),
            store=store or memory_store(),
            accounts=accounts,
            tracing=tracing,
            courier=courier,
        )
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http,
        ):
            yield Served(app, http)


class SyncClient:
    """A synchronous face of a running app, for what hypothesis calls again and again."""

    def __init__(self, runner: asyncio.Runner, served: Served) -> None:
        self._runner = runner
        self.served = served

    def request(self, method: str, url: str, **rest: Any) -> httpx.Response:
        return self._runner.run(self.served.http.request(method, url, **rest))


@contextmanager
def serving_synchronously(settings: Mapping[str, Any] | None = None, **parts: Any) -> Iterator[SyncClient]:
    """As `serving`, outside of any event loop."""
    app = serving(settings, **parts)
    with asyncio.Runner() as runner:
        served = runner.run(app.__aenter__())
        try:
            yield SyncClient(runner, served)
        finally:
            runner.run(app.__aexit__(None, None, None))
