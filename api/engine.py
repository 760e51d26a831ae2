"""The engine of one process: models of the registry, run right here."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from api.errors import InvalidOptions
from api.types import Deadline
from model.batcher import Batcher
from model.config import EngineConfig
from model.errors import DeadlineExceeded, DeviceLost, ModelUnavailable
from model.registry import REGISTRY, ModelSpec
from postprocess.types import RGB, Alpha

if TYPE_CHECKING:  # it brings torch, which takes seconds to import: that can wait until `start`
    from model.engine import TorchEngine

__all__ = ["EngineConfig", "LocalEngine"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Running:
    """A model that is loaded, warm and proven."""

    network: "TorchEngine"
    batcher: Batcher[NDArray[np.uint8], Alpha]


class LocalEngine:
    """api.types.Engine over TorchEngine and Batcher.

    on_batch: called with the model's name and the number of pictures after every batch.
    on_lost: called with the reason when a device is lost for good: the process should be replaced.
    registry: the models that requests may name.
    Raises ValueError when the configuration names a model that does not exist.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        on_batch: Callable[[str, int], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
        registry: Mapping[str, ModelSpec] = REGISTRY,
    ) -> None:
        if unknown := sorted(set(config.models) - registry.keys()):
            raise ValueError(f"no such model: {', '.join(unknown)}; there are {', '.join(registry)}")
        self._config = config
        self._on_batch = on_batch
        self._on_lost = on_lost
        self._registry = registry
        self._running: dict[str, _Running] = {}
        # Why a configured model does not run (yet). Its text is public.
        self._reasons = {name: f"model '{name}' is still being loaded" for name in config.models}
        self._host = ThreadPoolExecutor(config.cores, thread_name_prefix="resize")
        self._device = ThreadPoolExecutor(config.cores, thread_name_prefix="device")

    async def start(self) -> None:
        """Loads, warms and tests the configured models, one after the other.

        One that fails is left out, with the reason in `status`; the others serve. Raises ValueError when
        the configured device is not there.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._device, _check_device, self._config)
        for name in self._config.models:
            try:
                network = await loop.run_in_executor(self._device, _load, self._registry[name], self._config)
            except Exception as exc:  # whatever it is, the other models can serve and `status` can tell
                known = isinstance(exc, ModelUnavailable)
                self._reasons[name] = str(exc) if known else f"model '{name}' could not be loaded"
                _LOG.error("model '%s' does not run: %s", name, exc, exc_info=not known)
            else:
                self._running[name] = _Running(network, self._batcher(network))
                del self._reasons[name]

    async def matte(self, rgb: RGB, *, model: str, deadline: Deadline) -> Alpha:
        """See api.types.Engine. Raises InvalidOptions, too, when there is no such model."""
        running = self._find(model)
        running.batcher.check_open()  # before any work is spent on a picture that would be turned away
        deadline.check("resizing")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline.remaining()):
                picture = await loop.run_in_executor(self._host, running.network.prepare, rgb)
        except TimeoutError:
            raise DeadlineExceeded("no time left while resizing") from None
        return await running.batcher.submit(picture, deadline)

    async def close(self) -> None:
        """Takes no new pictures and answers the accepted ones, within the configured time."""
        try:
            async with asyncio.timeout(self._config.drain_timeout):
                await asyncio.gather(*(running.batcher.drain() for running in self._running.values()))
        except TimeoutError:
            _LOG.error("pictures were still waiting after %s s of draining", self._config.drain_timeout)
        for pool in (self._host, self._device):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether every configured model serves."""
        return not self._reasons

    @property
    def waiting(self) -> int:
        """Pictures in the queues."""
        return sum(running.batcher.waiting for running in self._running.values())

    @property
    def running(self) -> int:
        """Pictures on the device."""
        return sum(running.batcher.running for running in self._running.values())

    def status(self) -> dict[str, Any]:
        """For /readyz: `{"ready": bool, "models": {name: facts}}`, JSON throughout.

        Facts of a model that serves: warm (true), device, device_name, precision, sha256, streams, max_batch,
        batch_cap, waiting, running, last_error. Of one that does not: warm (false), reason.
        """
        models: dict[str, dict[str, Any]] = {
            name: {
                "warm": True,
                **running.network.facts(),
                "batch_cap": running.batcher.cap,
                "waiting": running.batcher.waiting,
                "running": running.batcher.running,
                "last_error": running.batcher.last_error,
            }
            for name, running in self._running.items()
        }
        models |= {name: {"warm": False, "reason": reason} for name, reason in self._reasons.items()}
        return {"ready": self.ready, "models": models}

    def models(self) -> list[dict[str, Any]]:
        """For GET /v1/models: every model of the registry, and whether a request may name it now."""
        return [
            {
                "name": spec.name,
                "available": spec.name in self._running,
                "description": spec.description,
                "input_width": spec.size[1],
                "input_height": spec.size[0],
                "licence": spec.licence,
                "paper": spec.paper,
                "source": spec.weights.source,
            }
            for spec in self._registry.values()
        ]

    def _find(self, model: str) -> _Running:
        if running := self._running.get(model):
            return running
        if model not in self._registry:
            raise InvalidOptions(public=f"model: must be one of {', '.join(self._registry)}")
        raise ModelUnavailable(
            self._reasons.get(model)
            or f"model '{model}' is not loaded on this server: {self._how_to_load(self._registry[model])}"
        )

    def _how_to_load(self, spec: ModelSpec) -> str:
        first = "" if spec.weights.shipped else f"{spec.bring}, and "
        return f"its operator can {first}name it in the setting `models`"

    def _batcher(self, network: "TorchEngine") -> Batcher[NDArray[np.uint8], Alpha]:
        name = network.spec.name
        return Batcher(
            network.run,
            self._device,
            max_batch=network.max_batch,
            max_wait=self._config.max_wait,
            max_queue=self._config.max_queue,
            streams=network.streams,
            on_batch=partial(self._on_batch, name) if self._on_batch else None,
            on_lost=partial(self._lose, name),
        )

    def _lose(self, name: str, error: DeviceLost) -> None:
        self._running.pop(name, None)
        self._reasons[name] = f"model '{name}' has lost its device"
        if self._on_lost:
            self._on_lost(f"{name}: {error}")


def _check_device(config: EngineConfig) -> None:
    from model.engine import choose_device

    choose_device(config.device)


def _load(spec: ModelSpec, config: EngineConfig) -> "TorchEngine":
    from model.engine import TorchEngine

    return TorchEngine(spec, config)
