"""A worker's private HTTP face: a frame of samples in, a frame of samples out. Nothing here decodes images,
and nothing here speaks to anybody first but to the collector of traces, where one is named.

    POST /v1/mattes/{model}/{width}x{height}    model.frame: a picture's frame in, its alpha's frame out
    GET  the same                               whether it would be served: the model's facts, or why not
    GET  /healthz, /readyz, /metrics            as the service's own

Failures look as the service's own do. The path tells a proxy what the frame holds, so that it can choose a
pool; both must say the same.
"""

import hmac
import logging
import math
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from api import logs
from api.engine import LocalEngine
from api.environment import SettingsError
from api.errors import Draining, InvalidOptions, ObjectCutError, Unauthorized
from api.fleet.settings import WorkerSettings
from api.graceful import GracefulServer
from api.limits import InFlight, RequestLimits, body_of, while_connected
from api.logs import REQUESTS, SERVICE
from api.metrics import Metrics
from api.middleware import Exchanges, exchange_of
from api.tracing import Tracing, open_tracing
from api.types import Deadline, Engine
from model import frame, heap
from model.errors import ModelUnavailable
from postprocess.types import RGB, Alpha

__all__ = ["FRAME_TYPE", "WorkerService", "create_worker", "header_of", "serve", "server_for"]

FRAME_TYPE = "application/vnd.objectcut.frame"
KEPT_SECONDS = 20
"""For which the service keeps an idle connection to a worker."""
_SIZE = re.compile(r"([1-9]\d{0,3})x([1-9]\d{0,3})")


class Batching(Engine, Protocol):
    """An engine that can keep a picture out of others' batches."""

    async def matte(
        self,
        rgb: RGB,
        *,
        model: str,
        resolution: int | None = None,
        deadline: Deadline,
        alone: bool = False,
    ) -> Alpha:
        """See LocalEngine."""
        ...


@dataclass(slots=True)
class WorkerService:
    """draining, lost: see GracefulServer."""

    engine: Batching
    draining: bool = False
    lost: str | None = None

    def readiness(self) -> dict[str, Any]:
        """For /readyz."""
        state = self.engine.status()
        ready = state["ready"] and not self.draining and not self.lost
        return state | {"ready": bool(ready), "draining": self.draining}

    def facts(self, model: str) -> dict[str, Any]:
        """What is known of a model that would be served now.

        Raises InvalidOptions: there is none of that name; Draining, ModelUnavailable.
        """
        known = {each["name"]: each["available"] for each in self.engine.models()}
        if model not in known:
            raise InvalidOptions(public="model: there is none of that name")
        if self.draining:
            raise Draining()
        facts: dict[str, Any] = self.engine.status()["models"].get(model, {})
        if not known[model]:
            raise ModelUnavailable(facts.get("reason", f"model '{model}' is not loaded on this worker"))
        return facts

    async def matte(
        self, model: str, header: frame.Header, body: bytes | bytearray, *, arrived: float, longest: float
    ) -> Alpha:
        """The alpha of the picture in a frame. arrived: when it began to (s, monotonic).

        longest: seconds that a picture may have, whatever its frame says. Raises InvalidOptions, ModelError.
        """
        # The clock began where the request did: what the way here took is gone.
        deadline = Deadline(arrived + min(header.seconds, longest))
        resolution = self._resolution(model, header.height, header.width)
        return await self.engine.matte(
            header.picture(body), model=model, resolution=resolution, deadline=deadline, alone=header.alone
        )

    def _resolution(self, model: str, height: int, width: int) -> int | None:
        """What a request must have asked for, that its picture has this size. Raises InvalidOptions."""
        for known in self.engine.models():
            if known["name"] == model and (known["input_height"], known["input_width"]) == (height, width):
                return None
        if height != width:
            raise InvalidOptions(public=f"model '{model}' takes no {width} x {height} px")
        return width


def header_of(body: bytes | bytearray) -> frame.Header:
    """The header of a picture's frame. Raises InvalidOptions."""
    try:
        return frame.Header.unpack(body)
    except frame.FrameError as exc:
        raise InvalidOptions(public=str(exc)) from None


class _Face:
    """The routes."""

    def __init__(self, service: WorkerService, token: str, in_flight: InFlight, longest: float) -> None:
        self._service = service
        self._token = token.encode()
        self._in_flight = in_flight
        self._limits = RequestLimits(timeout=longest, body_timeout=longest, body_bytes=frame.MAX_BYTES)

    async def matte(self, request: Request) -> Response:
        """One picture's alpha."""
        self._authorise(request)
        model, size = request.path_params["model"], _size(request)
        exchange = exchange_of(request)
        exchange.fields |= {"model": model, "side": max(size)}
        exchange.held.enter_context(self._in_flight.place())
        arrived = time.monotonic()
        body = bytearray()
        async for piece in body_of(request, self._limits, Deadline.after(self._limits.timeout)):
            body += piece
        header = header_of(body)
        if (header.height, header.width) != size:
            raise InvalidOptions(public="the frame is not what the path says")
        longest = self._limits.timeout
        work = self._service.matte(model, header, body, arrived=arrived, longest=longest)
        alpha = await while_connected(request, work)
        return Response(await run_in_threadpool(frame.pack_alpha, alpha), media_type=FRAME_TYPE)

    async def facts(self, request: Request) -> Response:
        """Whether the route would serve this model."""
        self._authorise(request)
        return JSONResponse(self._service.facts(request.path_params["model"]))

    def traced(self, scope: Scope) -> bool:
        """Whether a request becomes part of a trace: pictures, of those who know the token."""
        return scope["method"] == "POST" and self._is_known(Headers(scope=scope))

    def _authorise(self, request: Request) -> None:
        """Raises Unauthorized."""
        if not self._is_known(request.headers):
            raise Unauthorized("the worker's token is wanted")

    def _is_known(self, headers: Headers) -> bool:
        kind, _, shown = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(shown.encode(), self._token)


def create_worker(
    settings: WorkerSettings, *, engine: Batching | None = None, tracing: Tracing | None = None
) -> Starlette:
    """The worker's app. Its WorkerService is `app.state.service`. Raises SettingsError."""
    token = settings.token()
    metrics = Metrics()

    def lose(reason: str) -> None:
        service.lost = reason

    try:
        traced = tracing or open_tracing(settings.tracing)
    except ValueError as exc:
        raise SettingsError(f"OBJECTCUT_TRACING__ENDPOINT: {exc}") from exc
    try:
        engine = engine or LocalEngine(
            settings.engine,
            on_batch=metrics.batch,
            on_second_look=metrics.second_looks,
            on_answer=lambda model, wait, _: metrics.waited(model, wait),
            on_lost=lose,
            around=traced.batch,
        )
    except ValueError as exc:
        raise SettingsError(f"OBJECTCUT_ENGINE__MODELS: {exc}") from exc
    service = WorkerService(engine)
    in_flight = InFlight(settings.in_flight)
    metrics.gauge("ready", "1 while /readyz says 200.", lambda: service.readiness()["ready"])
    metrics.gauge("in_flight", "Requests being worked on.", lambda: in_flight.count)
    metrics.gauge("in_flight_limit", "Requests that may be.", lambda: settings.in_flight)
    metrics.gauge("queue_depth", "Pictures waiting for a device.", lambda: engine.waiting)
    face = _Face(service, token, in_flight, settings.timeout)
    path = "/v1/mattes/{model}/{size}"

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        heap.keep()
        try:
            await engine.start()
        except Exception as exc:
            SERVICE.critical("cannot start: %s", exc)
            raise
        SERVICE.info("started", extra={"fields": service.readiness()})
        try:
            yield
        finally:
            service.draining = True
            await engine.close()
            await traced.close()

    app = Starlette(
        routes=[
            Route(path, face.matte, methods=["POST"]),
            Route(path, face.facts, methods=["GET"]),
            *_operators_routes(service, metrics),
        ],
        lifespan=lifespan,
        exception_handlers={404: _leave, 405: _leave, ObjectCutError: _leave},
    )
    app.state.service = service
    app.add_middleware(
        Exchanges, metrics=metrics, send_timeout=settings.timeout, tracing=traced, traced=face.traced
    )
    return app


def serve(settings: WorkerSettings) -> int:
    """Serves until told to stop; the exit status. Raises SettingsError."""
    logs.configure(settings.logs)
    REQUESTS.addFilter(_speaks_of_work)
    return server_for(create_worker(settings), settings).run_until_stopped()


def server_for(app: Starlette, settings: WorkerSettings) -> GracefulServer:
    """The server of an app that create_worker made."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        uds=str(settings.socket) if settings.socket else None,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        http="h11",  # as in api.serve
        ws="none",
        lifespan="on",
        # Longer than callers keep a connection: they never write to one that is about to be closed.
        timeout_keep_alive=2 * KEPT_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.timeout + settings.engine.drain_timeout),
    )
    return GracefulServer(config, app.state.service, settings.drain_delay)


def _operators_routes(service: WorkerService, metrics: Metrics) -> list[Route]:
    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        state = service.readiness()
        return JSONResponse(state, 200 if state["ready"] else 503, {"Cache-Control": "no-store"})

    async def read_metrics(_: Request) -> Response:
        metrics.models(service.readiness()["models"])
        return Response(metrics.text(), media_type=metrics.media_type)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", read_metrics)]


def _size(request: Request) -> tuple[int, int]:
    """(height, width) of the path. Raises InvalidOptions."""
    found = _SIZE.fullmatch(request.path_params["size"])
    if not found:
        raise InvalidOptions(public="the path must end in WIDTHxHEIGHT")
    return int(found[2]), int(found[1])


def _speaks_of_work(record: logging.LogRecord) -> bool:
    """Callers look every second whether a worker is ready: that would be most of the log."""
    fields = getattr(record, "fields", {})
    return fields.get("method") != "GET" or fields.get("status", 0) >= 500


async def _leave(_: Request, exc: Exception) -> Response:
    """Hands an exception on to the outermost layer, where all failures get their body."""
    raise exc
