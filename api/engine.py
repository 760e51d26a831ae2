"""The engine of one process: models of the registry, run right here."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from api import catalogue
from api.priority import after_the_loop
from api.types import Deadline
from model import runtimes
from model.batcher import Batcher
from model.config import EngineConfig
from model.errors import DeadlineExceeded, DeviceLost, ModelUnavailable
from model.files import estimated_memory
from model.registry import REGISTRY, ModelSpec
from model.residency import Residency
from postprocess.types import RGB, Alpha

if TYPE_CHECKING:  # it brings torch, which takes seconds to import: that can wait until `start`
    from model.loaded import LoadedModel

__all__ = ["EngineConfig", "LocalEngine"]

_LOG = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Running:
    """A model that is loaded, warm and proven. loader: a thread for what takes long."""

    network: "LoadedModel"
    batcher: Batcher[NDArray[np.uint8], Alpha]
    loader: Executor

    @property
    def memory_bytes(self) -> int:
        return self.network.memory_bytes

    async def leave(self) -> None:
        await self.batcher.drain()
        await asyncio.get_running_loop().run_in_executor(self.loader, self.network.close)


class LocalEngine:
    """api.types.Engine over Residency, Batcher and LoadedModel.

    on_batch: called with the model's name and the number of pictures after every batch.
    on_second_look: likewise, with those that the network looked at twice, if there are any; in a thread.
    on_answer: called in the context of a caller who has its matte, with the model's name, the seconds in the
        queue and the pictures in its batch.
    on_lost: called with the reason when a device is lost for good: the process should be replaced.
    around: entered for every batch, with the model's name and its pictures' callers: see Batcher.
    registry: the models that requests may name.
    Raises ValueError when the configuration names a model that does not exist.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        on_batch: Callable[[str, int], None] | None = None,
        on_second_look: Callable[[str, int], None] | None = None,
        on_answer: Callable[[str, float, int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        around: Callable[[str, Sequence[tuple[Context, float]]], AbstractContextManager[object]]
        | None = None,
        registry: Mapping[str, ModelSpec] = REGISTRY,
    ) -> None:
        catalogue.check_names(config.models, registry)
        self._config = config
        self._on_batch = on_batch
        self._on_second_look = on_second_look
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._around = around
        self._registry = registry
        self._started = False
        self._models = Residency(self._load, self._estimate, budget=config.memory_budget)
        self._host = ThreadPoolExecutor(config.cores, "resize", after_the_loop)
        # Two, where there is one core: on a GPU one thread computes while another one copies.
        self._device = ThreadPoolExecutor(max(2, config.cores), "device", after_the_loop)
        self._loader = ThreadPoolExecutor(1, "load", after_the_loop)

    async def start(self) -> None:
        """Loads, warms and tests the configured models, one after the other, as far as memory goes.

        One that fails is left out, with the reason in `status`; the others serve. Raises ValueError when
        the configured device or runtime is not there.
        """
        await self._loading(runtimes.check, self._config)
        await self._models.settle(self._config.models)
        self._started = True

    async def matte(
        self,
        rgb: RGB,
        *,
        model: str,
        resolution: int | None = None,
        deadline: Deadline,
        alone: bool = False,
    ) -> Alpha:
        """See api.types.Engine. alone: the picture is suspected, and shares no batch with others."""
        spec = catalogue.offered(model, self._config.models, self._registry)
        if not self._started:
            raise ModelUnavailable(f"model '{model}' is still being loaded")
        size = catalogue.input_size(spec, resolution)
        deadline.check("resizing")
        async with self._models.use(model, deadline) as running:
            running.batcher.check_open()  # before any work is spent on a picture that would be turned away
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(deadline.remaining()):
                    picture = await loop.run_in_executor(self._host, running.network.prepare, rgb, size)
            except TimeoutError:
                raise DeadlineExceeded("no time left while resizing") from None
            return await running.batcher.submit(picture, deadline, alone=alone)

    async def close(self) -> None:
        """Takes no new pictures and answers the accepted ones, within the configured time."""
        await self._models.close()
        try:
            async with asyncio.timeout(self._config.drain_timeout):
                await asyncio.gather(*(running.batcher.drain() for running in self._residents.values()))
        except TimeoutError:
            _LOG.error("pictures were still waiting after %s s of draining", self._config.drain_timeout)
        for pool in (self._host, self._device, self._loader):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether every configured model serves, or is loaded as soon as a request names it."""
        return self._started and not any(self._models.failure(name) for name in self._config.models)

    @property
    def waiting(self) -> int:
        """Pictures in the queues."""
        return sum(running.batcher.waiting for running in self._residents.values())

    @property
    def running(self) -> int:
        """Pictures on the device."""
        return sum(running.batcher.running for running in self._residents.values())

    def status(self) -> dict[str, Any]:
        """For /readyz: `{"ready": bool, "models": {name: facts}}`, JSON throughout.

        Facts of a model in memory: resident and warm (true), those of LoadedModel.facts, batch_cap (pictures
        of the model's own size), waiting, running, last_error. Of another one: both false, and the reason.
        """
        return {"ready": self.ready, "models": {name: self._facts(name) for name in self._config.models}}

    def models(self) -> list[dict[str, Any]]:
        """For GET /v1/models: every model of the registry, and whether a request may name it now."""
        return catalogue.described(self._registry, self._available)

    def _available(self, name: str) -> bool:
        return self._started and name in self._config.models and self._models.failure(name) is None

    @property
    def _residents(self) -> Mapping[str, _Running]:
        return self._models.residents

    def _facts(self, name: str) -> dict[str, Any]:
        running = self._residents.get(name)
        if running is None:
            reason = self._models.failure(name) or (
                "loaded when a request names it" if self._started else "still being loaded"
            )
            return {"resident": False, "warm": False, "reason": reason}
        return {
            "resident": True,
            "warm": True,
            **running.network.facts(),
            "batch_cap": running.batcher.cap,
            "waiting": running.batcher.waiting,
            "running": running.batcher.running,
            "last_error": running.batcher.last_error,
        }

    async def _load(self, name: str) -> _Running:
        try:
            network = await self._loading(runtimes.load, self._registry[name], self._config)
        except DeviceLost as exc:
            self._lose(name, exc)
            raise
        if self._on_second_look:
            network.on_second_look = partial(self._on_second_look, name)
        return _Running(network, self._batcher(network), self._loader)

    async def _estimate(self, name: str) -> int:
        return await self._loading(estimated_memory, self._registry[name], self._config.model_dir)

    async def _loading(self, work: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        """In a thread of its own: a model that is loading does not keep those from the device that serve."""
        call = partial(work, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._loader, call)

    def _batcher(self, network: "LoadedModel") -> Batcher[NDArray[np.uint8], Alpha]:
        name, pixels = network.spec.name, math.prod(network.spec.size)
        return Batcher(
            network.run,
            self._device,
            max_batch=network.max_batch,
            max_wait=self._config.max_wait,
            max_queue=self._config.max_queue,
            streams=network.streams,
            group=lambda picture: picture.shape,
            # What a device has room and work for is so many pixels, measured at the model's own size.
            cost=lambda picture: max(1.0, math.prod(picture.shape[:2]) / pixels),
            on_batch=partial(self._on_batch, name) if self._on_batch else None,
            on_answer=partial(self._on_answer, name) if self._on_answer else None,
            on_lost=partial(self._lose, name),
            around=partial(self._around, name) if self._around else nullcontext,
        )

    def _lose(self, name: str, error: DeviceLost) -> None:
        self._models.lose(name, f"model '{name}' has lost its device")
        if self._on_lost:
            self._on_lost(f"{name}: {error}")
