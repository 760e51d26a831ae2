"""The composition root: settings in, a running service out. The only place that knows every part."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import cv2
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from threadpoolctl import threadpool_limits

from api import finishing, openapi
from api import settings as configuration
from api.accounts import Accounts, open_accounts
from api.engine import LocalEngine
from api.fleet.processes import WorkerProcesses
from api.fleet.remote import RemoteEngine
from api.fleet.worker_link import WorkerLink
from api.idempotency import Idempotency
from api.jobs.courier import Courier, HttpCourier
from api.jobs.service import Jobs, Parts
from api.limits import Gate, InFlight
from api.logs import SERVICE
from api.metrics import Metrics
from api.middleware import Exchanges, SecureAnswers
from api.once import NotingFetcher
from api.pipeline import Pipeline
from api.priority import after_the_loop
from api.rooms import Rooms
from api.routes import account, basnet, native, objectcut, ops, page, rembg
from api.routes import jobs as job_routes
from api.routes import rooms as room_routes
from api.routes.removebg import routes as removebg
from api.routes.removebg.answers import failure as removebg_failure
from api.routes.wishes import REPEATABLE
from api.settings import Settings, SettingsError
from api.source.fetch import HttpFetcher
from api.source.isolation import DecodePool
from api.stopwatch import Stopwatch
from api.storage import ServedStore, StoreConfig, open_store
from api.tracing import Tracing, open_tracing
from api.turns import Turns
from api.types import Decoder, Engine, Fetcher, Store
from model import heap


@dataclass(slots=True)
class Service:
    """Every part of one running service.

    draining: set when the process has been asked to stop; until it does, it serves but is not ready.
    lost: why the device is gone for good, once it is: the process should be replaced.
    """

    settings: Settings
    metrics: Metrics
    fetcher: Fetcher
    decoder: Decoder
    engine: Engine
    store: Store
    executor: Executor
    pipeline: Pipeline
    tracing: Tracing
    started: bool = False
    draining: bool = False
    lost: str | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the parts, and ends them in the opposite order: what work needs outlives the work."""
        async with AsyncExitStack() as stack:
            heap.keep()
            # Pictures run side by side, each on one core: threads within one would wait for one another.
            cv2.setNumThreads(1)
            stack.enter_context(threadpool_limits(1, user_api="blas"))
            stack.push_async_callback(self.tracing.close)
            stack.callback(self.executor.shutdown, wait=False, cancel_futures=True)
            stack.push_async_callback(self.fetcher.close)
            stack.push_async_callback(self.store.close)
            if isinstance(self.store, ServedStore):
                await self.store.start()
            # Its processes are made before the engine's threads, which a fork would lose.
            stack.push_async_callback(self.decoder.close)
            await self.decoder.start()
            stack.push_async_callback(self.engine.close)
            await self.engine.start()
            await asyncio.get_running_loop().run_in_executor(self.executor, finishing.warm)
            self.started = True
            yield
            self.draining = True

    def readiness(self) -> dict[str, Any]:
        """For /readyz."""
        state = self.engine.status()
        ready = self.started and not self.draining and not self.lost and state["ready"]
        return state | {"ready": bool(ready), "draining": self.draining}


def assemble(
    settings: Settings,
    *,
    fetcher: Fetcher | None = None,
    decoder: Decoder | None = None,
    engine: Engine | None = None,
    store: Store | None = None,
    tracing: Tracing | None = None,
    patience: float | None = None,
) -> Service:
    """Builds the parts that are not given. patience: see Turns. Raises SettingsError."""
    metrics = Metrics()

    def lose(reason: str) -> None:
        service.lost = reason

    try:
        tracing = traced = tracing or open_tracing(settings.tracing)
    except ValueError as exc:
        raise SettingsError(f"OBJECTCUT_TRACING__ENDPOINT: {exc}") from exc

    def answered(model: str, wait: float, batch: int) -> None:
        metrics.waited(model, wait)
        traced.note(model=model, queue_wait_ms=round(wait * 1000, 1), batch_size=batch)

    try:
        engine = engine or _open_engine(settings, metrics, traced, answered, lose)
    except ValueError as exc:
        raise SettingsError(f"OBJECTCUT_ENGINE__MODELS: {exc}") from exc
    fetcher = fetcher or HttpFetcher(settings.fetch, on_refusal=metrics.refused)
    decoder = decoder or DecodePool(settings.decode, settings.isolation, workers=settings.cpu_jobs)
    try:
        store = store or open_store(settings.store)
    except (OSError, ValueError) as exc:
        raise SettingsError(f"OBJECTCUT_STORE__…: the store cannot be opened: {exc}") from exc
    executor = ThreadPoolExecutor(settings.cpu_jobs, "picture", after_the_loop)

    def rested() -> None:
        """Memory that pictures needed is others' until the next one comes."""
        with suppress(RuntimeError):  # the service has just stopped
            executor.submit(heap.trim)

    pipeline = Pipeline(
        fetcher=NotingFetcher(fetcher),
        decoder=decoder,
        engine=engine,
        store=store,
        executor=executor,
        turns=Turns(settings.pictures_at_once(), patience, spare=settings.jobs_at_once(), rested=rested),
        naming_key=settings.naming_key(),
        stopwatch=partial(Stopwatch, metrics.stage, tracing.stage),
    )
    service = Service(settings, metrics, fetcher, decoder, engine, store, executor, pipeline, tracing)
    return service


def _open_engine(
    settings: Settings,
    metrics: Metrics,
    tracing: Tracing,
    answered: Callable[[str, float, int], None],
    lose: Callable[[str], None],
) -> Engine:
    """In this process, unless there are workers. Raises SettingsError, ValueError: no such model."""
    workers = settings.workers
    if not workers.remote:
        return LocalEngine(
            settings.engine,
            on_batch=metrics.batch,
            on_second_look=metrics.second_looks,
            on_answer=answered,
            on_lost=lose,
            around=tracing.batch,
        )
    link = partial(WorkerLink, config=workers, outgoing=tracing.outgoing)
    if workers.urls:
        token = settings.shared_token()
        return RemoteEngine(settings.engine, [link(url, token) for url in workers.urls])
    own = WorkerProcesses(
        workers.count,
        settings.engine,
        settings.logs,
        tracing=settings.tracing,
        timeout=settings.limits.timeout,
    )
    return RemoteEngine(settings.engine, [link(url, own.token) for url in own.urls], workforce=own)


@asynccontextmanager
async def open_pipeline(
    settings: Settings | None = None,
    *,
    fetcher: Fetcher | None = None,
    decoder: Decoder | None = None,
    engine: Engine | None = None,
    store: Store | None = None,
) -> AsyncIterator[Pipeline]:
    """A pipeline that runs without HTTP; what it stores, if it is asked to, lives as long as it does."""
    service = assemble(
        settings or configuration.load(),
        fetcher=fetcher,
        decoder=decoder,
        engine=engine,
        store=store or open_store(StoreConfig(kind="memory")),
    )
    async with service.running():
        yield service.pipeline


def create_app(
    settings: Settings | None = None,
    *,
    fetcher: Fetcher | None = None,
    decoder: Decoder | None = None,
    engine: Engine | None = None,
    store: Store | None = None,
    accounts: Accounts | None = None,
    tracing: Tracing | None = None,
    courier: Courier | None = None,
) -> FastAPI:
    """The HTTP service. Its Service is `app.state.service`.

    Raises SettingsError, also when there is no secret, no key and no leave to serve everybody.
    """
    settings = settings or configuration.load()
    secret = settings.access()
    service = assemble(
        settings,
        fetcher=fetcher,
        decoder=decoder,
        engine=engine,
        store=store,
        tracing=tracing,
        patience=settings.limits.queue_timeout,
    )
    in_flight = InFlight(
        settings.limits.in_flight,
        at_once=settings.pictures_at_once(),
        patience=settings.limits.queue_timeout,
    )
    share = max(1, settings.limits.in_flight // 2)
    try:
        accounts = accounts or open_accounts(
            settings.accounts, secret=secret, anonymous=settings.anonymous, share=share
        )
    except ValueError as exc:
        raise SettingsError(f"OBJECTCUT_ACCOUNTS__REDIS_URL: {exc}") from exc
    gate = Gate(settings.limits, in_flight, accounts)
    jobs = _jobs(service, accounts, courier)
    rooms = Rooms(settings.rooms)
    service.metrics.gauge("ready", "1 while /readyz says 200.", lambda: service.readiness()["ready"])
    service.metrics.gauge("in_flight", "Requests being worked on.", lambda: in_flight.count)
    service.metrics.gauge("in_flight_limit", "Requests that may be.", lambda: settings.limits.in_flight)
    service.metrics.gauge("queue_depth", "Pictures waiting for a device.", lambda: service.engine.waiting)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        SERVICE.info("starting", extra={"fields": {"settings": settings.model_dump(mode="json")}})
        async with AsyncExitStack() as stack:
            try:
                stack.push_async_callback(accounts.close)
                stack.push_async_callback(jobs.close)
                stack.callback(rooms.close_all)
                await stack.enter_async_context(service.running())
                stack.push_async_callback(jobs.stop)
                await jobs.start()
            except Exception as exc:
                SERVICE.critical("cannot start: %s", exc)  # in one line, before uvicorn's traceback
                raise
            SERVICE.info("started", extra={"fields": service.readiness()})
            yield
            SERVICE.info("stopping")

    app = FastAPI(
        title="OBJECT CUT",
        description="Finds the subject of a photo and cuts it out.",
        version=version("objectcut"),
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        exception_handlers={HTTPException: _leave, RequestValidationError: _leave},
    )
    app.state.service = service
    life = float(settings.store.ttl_seconds)
    app.include_router(native.routes(service.pipeline, service.engine, service.store, gate, life))
    app.include_router(
        job_routes.routes(jobs, service.engine, service.store, gate, life, lambda: service.draining)
    )
    app.include_router(
        room_routes.routes(rooms, service.pipeline, service.decoder, gate, lambda: service.draining)
    )
    app.include_router(account.routes(gate))
    app.include_router(objectcut.routes(service.pipeline, gate))
    app.include_router(rembg.routes(service.pipeline, service.engine, gate))
    app.include_router(basnet.routes(service.pipeline, service.engine, gate))
    app.include_router(
        removebg.routes(service.pipeline, service.decoder, service.store, gate, settings.removebg)
    )
    app.include_router(ops.routes(service.metrics, service.readiness))
    app.include_router(page.routes())
    app.add_middleware(
        Idempotency,
        gate=gate,
        answers=jobs.answers,
        repeatable=REPEATABLE,
        key_headers={objectcut.PATH: objectcut.KEY_HEADER},
    )
    app.add_middleware(
        Exchanges,
        metrics=service.metrics,
        send_timeout=settings.limits.send_timeout,
        tracing=service.tracing,
        dialects={removebg.PREFIX: removebg_failure},
        effective=("/v1/rooms/", "/api/remove"),
    )
    if settings.cors_origins:
        # Around Exchanges, so that a page may read our failures too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "X-Api-Key",
                "X-Request-Id",
                "X-Secret-Access",
                "X-Timeout",
            ],
            expose_headers=["*"],
        )
    app.add_middleware(SecureAnswers)
    openapi.describe(app, keys=not settings.anonymous)
    return app


def _jobs(service: Service, accounts: Accounts, courier: Courier | None) -> Jobs:
    settings = service.settings
    parts = Parts(
        pipeline=service.pipeline,
        store=service.store,
        accounts=accounts,
        courier=courier or HttpCourier(settings.fetch, on_refusal=service.metrics.refused),
        base_url=settings.store.base_url.rstrip("/"),
        at_once=settings.jobs_at_once(),
        item=service.metrics.job_picture,
        webhook=service.metrics.webhook,
    )
    return Jobs(settings.jobs, parts)


async def _leave(_: Request, exc: Exception) -> Response:
    """Hands a framework's exception on to the outermost layer, where all failures get their body."""
    raise exc
