"""The service as an application of Ray Serve, for `import_path: api.fleet.rayserve:build`.

    ingress    the whole service of `objectcut serve`, on CPUs; its engine is a RemoteEngine whose workers are
    pools      deployments of Replica, by models: the engine of `objectcut worker`, with a share of a GPU

docs/RAY.md tells how it is deployed. Only what Ray starts imports this module.
"""

import asyncio
import logging
import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ray import get_runtime_context, serve
from ray.serve.config import BackpressureConfig
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import catalogue, errors, logs, settings
from api.app import create_app
from api.engine import LocalEngine
from api.errors import ObjectCutError
from api.fleet.pool import PoolLink
from api.fleet.remote import RemoteEngine
from api.fleet.sharing import OneProcessOnly, check_shared
from api.fleet.worker import WorkerService, header_of
from api.logs import REQUEST_ID
from api.settings import Settings
from model import frame, heap
from model.config import EngineConfig
from model.errors import ModelError
from model.registry import REGISTRY

__all__ = ["Arguments", "Ingress", "Pool", "Replica", "build"]

_LOG = logging.getLogger("objectcut.ray")

INGRESS = "ingress"
_REFUSALS = 4
"""Requests that may reach an ingress, per one that it works on: it refuses the rest in its contract's way."""


class Pool(BaseModel):
    """Replicas that have the same models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(min_length=1)
    engine: dict[str, Any] = Field({}, description="Settings of OBJECTCUT_ENGINE__… that differ here.")

    def config(self, engine: EngineConfig, cores: int | None = None) -> EngineConfig:
        """That of a replica. cores: those that it has, unless the settings say else."""
        known = engine.model_dump(exclude_unset=True)
        given = {"cores": cores} if cores else {}
        return EngineConfig.model_validate(given | known | self.engine | {"models": self.models})


class Arguments(BaseModel):
    """`args` of the application.

    pools: by the name of their deployment. Default: one, `models`, with the models of the settings.
    ingresses: how many of them there may be; from 2 on nothing may be kept in one of them alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: dict[str, Pool] = {}
    ingresses: int = Field(1, ge=1, le=1000)


class Replica:
    """One process that infers: what `objectcut worker` does, asked by Ray."""

    async def __init__(self, pool: Pool) -> None:  # type: ignore[misc] # Ray awaits it
        """Raises RuntimeError when one of the models does not serve: the deployment has failed, then."""
        known = _settings()
        heap.keep()
        self._longest = known.limits.timeout
        engine = LocalEngine(pool.config(known.engine, _cores()), on_lost=self._lose)
        self._service = WorkerService(engine)
        await engine.start()
        if not engine.ready:
            raise RuntimeError(f"not every model serves: {engine.status()['models']}")

    async def matte(self, model: str, body: bytes, request_id: str | None) -> bytes | dict[str, Any]:
        """The alpha's frame of a picture's frame; or the problem: code, detail and retry_after."""
        arrived = time.monotonic()
        if request_id:
            REQUEST_ID.set(request_id)
        try:
            header = header_of(body)
            alpha = await self._service.matte(model, header, body, arrived=arrived, longest=self._longest)
        except (ModelError, ObjectCutError) as exc:
            error = errors.as_error(exc)
            detail = error.public if error.public != error.title else None
            return {"code": error.code, "detail": detail, "retry_after": error.retry_after}
        return await asyncio.to_thread(frame.pack_alpha, alpha)

    def facts(self, model: str) -> dict[str, Any]:
        """See WorkerService."""
        return self._service.facts(model)

    def check_health(self) -> None:
        """Asked by Ray, which replaces a replica that raises."""
        if self._service.lost:
            raise RuntimeError(f"the device is lost: {self._service.lost}")

    async def __del__(self) -> None:
        """Called, and waited for, by Ray after the last picture."""
        if hasattr(self, "_service"):
            self._service.draining = True
            await self._service.engine.close()

    def _lose(self, reason: str) -> None:
        self._service.lost = reason


class Ingress:
    """One process of the service."""

    def __init__(self, arguments: Arguments, handles: dict[str, DeploymentHandle[Any]]) -> None:
        self._arguments = arguments
        self._handles = handles

    def __serve_build_asgi_app__(self) -> ASGIApp:
        known = _settings()
        pools = _pools(self._arguments, known)
        cores = _cores()
        changed: dict[str, Any] = {"engine": _offered(pools, known, cores)}
        if cores and "cpu_jobs" not in known.model_fields_set:
            changed["cpu_jobs"] = cores
        known = known.model_copy(update=changed)
        links = [PoolLink(self._handles[name], pool.models, known.workers) for name, pool in pools.items()]
        app = create_app(known, engine=RemoteEngine(known.engine, links))
        if self._arguments.ingresses > 1:
            app.add_middleware(OneProcessOnly)
        if known.trusted_proxies:  # what uvicorn does itself, where it is ours
            app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(known.trusted_proxies))
        app.add_middleware(_WithoutRequestId)
        return app


class _WithoutRequestId:
    """Around the service: Ray adds X-Request-Id, the one by which the service was called, to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def unnamed(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["x-request-id"]
            await send(message)

        await self.app(scope, receive, unnamed)


def build(args: Arguments) -> serve.Application:
    """The application. Raises SettingsError: the variables, or what several ingresses would not share."""
    known = settings.load()
    known.access()
    if args.ingresses > 1:
        check_shared(known)
    pools = _pools(args, known)
    catalogue.check_names(_offered(pools, known).models, REGISTRY)
    replicas = {
        name: serve.deployment(Replica)
        .options(
            name=name,
            max_ongoing_requests=pool.config(known.engine).max_queue,
            max_queued_requests=known.limits.in_flight,
            graceful_shutdown_timeout_s=known.engine.drain_timeout,
        )
        .bind(pool)
        for name, pool in pools.items()
    }
    requests = _REFUSALS * known.limits.in_flight
    ingress = serve.deployment(serve.ingress()(Ingress)).options(
        name=INGRESS,
        max_ongoing_requests=requests,
        max_queued_requests=requests,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=2),
        graceful_shutdown_timeout_s=known.limits.timeout + known.limits.send_timeout,
    )
    return ingress.bind(args, replicas)


def _settings() -> Settings:
    known = settings.load()
    logs.configure(known.logs)
    return known


def _pools(arguments: Arguments, known: Settings) -> dict[str, Pool]:
    return arguments.pools or {"models": Pool(models=known.engine.models)}


def _offered(pools: dict[str, Pool], known: Settings, cores: int | None = None) -> EngineConfig:
    """That of an ingress: every pool's models."""
    models = tuple(dict.fromkeys(model for pool in pools.values() for model in pool.models))
    return Pool(models=models).config(known.engine, cores)


def _cores() -> int | None:
    """Those that Ray has given to this replica: whole ones, at least one. None: it was asked for none."""
    cpus = get_runtime_context().get_assigned_resources().get("CPU", 0)
    return max(1, int(cpus)) if cpus else None
