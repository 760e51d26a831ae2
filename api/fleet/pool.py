"""A pool of replicas on a Ray cluster, as the service sees it. Ray chooses the replica of each picture."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from api.errors import Overloaded
from api.fleet.config import WorkersConfig
from api.fleet.link import Link, NotServed, WorkerGone, WorkersUnavailable
from api.logs import REQUEST_ID
from api.types import Deadline
from model import frame
from model.errors import DeadlineExceeded
from postprocess.types import RGB, Alpha

__all__ = ["PoolLink"]

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS = 2.0
_BEGUN = ("HEALTHY", "UPSCALING", "DOWNSCALING")
"""States in which a pool without a replica is one that has been scaled to none: a picture wakes it."""


class PoolLink(Link):
    """The replicas of one deployment of api.fleet.rayserve.Replica.

    models: those that its replicas have. status: what Ray says of every application; a seam for tests.
    """

    moment = 1.0

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        models: tuple[str, ...],
        config: WorkersConfig,
        *,
        status: Callable[[], Any] = serve.status,
    ) -> None:
        super().__init__(f"ray:{handle.app_name}/{handle.deployment_name}", config.poll_interval)
        self._handle = handle
        self._models = models
        self._read_timeout = config.read_timeout
        self._status = status
        self._replicas = 0
        self._trouble: str | None = "not asked yet"

    def reason(self, model: str) -> str:
        """See Link."""
        return super().reason(model) if model in self._models else "is of another pool"

    async def close(self) -> None:
        """The handle is Ray's."""

    async def look(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Asks Ray, whose controller knows the replicas even while they have their hands full."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                self._learn(await asyncio.to_thread(self._status))
        except (RayError, RayServeException, TimeoutError) as exc:
            self._trouble = f"Ray does not answer: {type(exc).__name__}"
        await super().look({model: size for model, size in sizes.items() if model in self._models})

    def _learn(self, status: Any) -> None:
        application = status.applications.get(self._handle.app_name)
        pool = application and application.deployments.get(self._handle.deployment_name)
        if not pool:
            self._trouble = "Ray knows of no such deployment"
            return
        self._replicas = sum(count for state, count in pool.replica_states.items() if state == "RUNNING")
        serves = self._replicas or pool.status in _BEGUN
        self._trouble = None if serves else f"no replica runs: {pool.message or pool.status.value}"

    async def _ask(self, model: str, size: tuple[int, int]) -> dict[str, Any] | None:  # noqa: ARG002
        if self._trouble:
            raise NotServed(self._trouble)
        known = self.facts(model)
        if not self._replicas:
            known = {"resident": False, "warm": False, "reason": "loaded when a request names it"}
        elif not self.in_flight:  # a question would wait behind pictures
            known = await self._facts_now(model) or known
        if not known:
            raise NotServed("no replica answers yet")
        return known | {"replicas": self._replicas}

    async def _facts_now(self, model: str) -> dict[str, Any] | None:
        """What some replica says; None when it says nothing: Ray's controller will hear of its trouble."""
        call = self._handle.facts.remote(model)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                facts: dict[str, Any] = await call
                return facts
        except (RayError, RayServeException, TimeoutError):
            return None
        finally:
            call.cancel()

    async def matte(self, picture: RGB, model: str, deadline: Deadline, *, alone: bool = False) -> Alpha:
        """See Link. Waits for a replica where there is none at the moment."""
        size = picture.shape[0], picture.shape[1]
        seconds = deadline.remaining()
        call = self._handle.matte.remote(
            model, frame.pack_picture(picture, seconds, alone=alone), REQUEST_ID.get(None)
        )
        try:
            async with asyncio.timeout(min(seconds, self._read_timeout)):
                answer = await call
        except TimeoutError:
            raise self._late(model, deadline) from None
        except BackPressureError as exc:
            raise Overloaded(f"{self.url}: {exc}") from exc
        except (RayError, RayServeException) as exc:
            raise self._gone(exc) from exc
        finally:
            call.cancel()  # of no effect on one that has ended
        if not isinstance(answer, bytes):
            raise self._failure(model, answer, f"{self.url}: {answer['code']}", answer["retry_after"])
        alpha = await asyncio.to_thread(frame.unpack_alpha, answer, size)
        self.breaker(model).succeeded()
        return alpha

    def _gone(self, exc: Exception) -> WorkerGone:
        """The breaker stays out of it: one replica's end says nothing of the others, and Ray knows of it."""
        what, *_ = str(exc).splitlines() or [""]
        error = WorkersUnavailable(f"{self.url}: {type(exc).__name__}: {what}")
        _LOG.warning("%s", error)
        return WorkerGone(error, lost=isinstance(exc, RayError) and not isinstance(exc, RayTaskError))

    def _late(self, model: str, deadline: Deadline) -> Exception:
        if deadline.remaining() <= 0:
            return DeadlineExceeded("no time left before a replica's answer")
        self.breaker(model).failed()
        return WorkersUnavailable(f"{self.url}: no answer within {self._read_timeout} s")
