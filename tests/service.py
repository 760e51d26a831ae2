"""The real app over in-memory seams, with its lifespan, behind an ordinary HTTP client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI

from api.accounts import Accounts
from api.app import Service, create_app
from api.settings import Settings
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
) -> AsyncIterator[Served]:
    """Serves in this process. settings: over `anonymous=True`, one thread."""
    app = create_app(
        Settings(**{"anonymous": True, "cpu_jobs": 1, "pictures": 4} | dict(settings or {})),
        fetcher=fetcher or FakeFetcher(),
        decoder=decoder or InlineDecoder(),
        engine=engine or FakeEngine(),
        store=store or memory_store(),
        accounts=accounts,
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http,
    ):
        yield Served(app, http)
