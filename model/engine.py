"""One model on one device: loaded, made quick, warm, and proven right before it serves."""

import copy
import logging
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model import preprocess, selftest, weights
from model.config import EngineConfig
from model.cores import CoreShare
from model.device import choose_device, device_errors, give_memory_back, half_precisions
from model.errors import InferenceFailed, ModelUnavailable, OutOfMemory
from model.files import WORKING_MEMORY
from model.graphs import CudaRunner, Network
from model.loaded import LoadedModel, shaped
from model.optimise import batch_sizes, best_batch, compiled, fold_batch_norm
from model.preprocess import AlphaNet
from model.registry import ModelSpec

__all__ = ["TorchEngine"]

_LOG = logging.getLogger(__name__)

_GPU_BATCH = 32
_CUDA_STREAMS = 2
"""Batches on a GPU at once: one is computed while another one is copied."""

_WARM_AFTER = 1.0
"""Seconds. A first call that takes longer tells the time well enough: what it warms up takes far less."""


class TorchEngine(LoadedModel):
    """A model that is ready when its constructor returns.

    clock: what batches are timed by at the start; a seam for tests.
    Raises, from the constructor: ModelUnavailable, when the weights are missing, damaged or of another
    network, or when the self-test's alpha is wrong on this device; ValueError, when the device is not there.

    `prepare`, `predict` and `run` may be called from several threads. On a CPU each call uses one core, which
    gives the most pictures per second, or a few where the network needs seconds; but a call of a heavy
    network uses every core while it is alone.
    """

    runtime = "torch"

    def __init__(
        self, spec: ModelSpec, config: EngineConfig, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.spec = spec
        self.device = choose_device(config.device)
        on_cpu = self.device.type == "cpu"
        self._cores = CoreShare(config.cores)
        self._runner: CudaRunner | None = None
        self._budget = config.memory_budget or math.inf
        self._memory_before = torch.cuda.memory_allocated(self.device) if self._on_cuda else 0

        checkpoint = weights.load(spec, config.model_dir)
        self.sha256 = checkpoint.sha256
        probe = selftest.picture(selftest.probe_size(spec.size))[None]
        golden = checkpoint.golden
        if golden is None:
            golden = selftest.thumbnail(self._eager(AlphaNet(checkpoint.net, spec), probe, "cpu")[0])
        self._net, alphas, seconds = self._optimised(checkpoint.net, config.precision, probe)
        del checkpoint  # the float32 form, unless it is the quickest one
        selftest.check(spec.name, alphas[0], golden)
        self._cores.divide(seconds * math.prod(spec.size) / math.prod(probe.shape[1:3]))
        self.streams = self._cores.streams if on_cpu else _CUDA_STREAMS if self._on_cuda else 1
        if self._on_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        self._network: Network = compiled(self._net) if config.compile else self._net
        most = config.max_batch or (1 if on_cpu else _GPU_BATCH)
        self.max_batch = self._warm_up(most, clock, golden if probe.shape[1:3] == spec.size else None)
        self.memory_bytes = self._memory()
        give_memory_back()

    @property
    def precision(self) -> str:
        """See LoadedModel."""
        return str(self._net.precision).removeprefix("torch.")

    def place(self) -> tuple[str, str]:
        """See LoadedModel."""
        name = torch.cuda.get_device_name(self.device) if self._on_cuda else self.device.type
        return str(self.device), name

    def prepare(self, rgb: NDArray[np.uint8], size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """See LoadedModel; torch's own kernel is the quicker one."""
        return preprocess.resize(rgb, size or self.spec.size)

    def predict(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        """See LoadedModel."""
        if self._runner is None:
            return self._eager(self._network, np.asarray(pictures), self.device)
        with device_errors():
            return shaped(self._runner(pictures), (len(pictures), *pictures[0].shape[:2]))

    def close(self) -> None:
        """See LoadedModel."""
        if self._runner:
            self._runner.clear()
        self._net.to("meta")  # whoever still holds the engine, its parameters are gone
        give_memory_back()

    @property
    def _on_cuda(self) -> bool:
        return self.device.type == "cuda"

    def _eager(
        self, net: Network, batch: NDArray[np.uint8], device: torch.device | str
    ) -> NDArray[np.float32]:
        with self._cores.threads(), device_errors(), torch.inference_mode():
            alphas: Tensor = net(torch.from_numpy(batch).to(device))
            return shaped(alphas.cpu().numpy(), batch.shape[:3])

    def _warm_up(self, most: int, clock: Callable[[], float], golden: NDArray[np.float32] | None) -> int:
        """The best size of a batch, at the network's own size; all that it will be run with is then warm.

        golden: what it must give there. Raises OutOfMemory when not even one picture fits.
        """
        picture = selftest.picture(self.spec.size)[None]

        def run(size: int) -> None:
            for alpha in self.predict(np.repeat(picture, size, axis=0)):
                selftest.check(self.spec.name, alpha, golden)
            if size > 1 and self._memory() > self._budget:
                raise OutOfMemory(f"a batch of {size} is beyond the memory budget")

        self._start_runner(most)
        try:
            best = best_batch(run, most, clock)
        except (InferenceFailed, ModelUnavailable) as exc:
            if self._network is self._net:
                raise
            _LOG.warning("%s runs as it is, not compiled: %s", self.spec.name, exc)
            self._network = self._net
            return self._warm_up(most, clock, golden)
        if self._runner and best < most:
            self._start_runner(best)  # without the graphs of batches that will never be, nor their memory
            torch.cuda.reset_peak_memory_stats(self.device)
            for size in batch_sizes(best) * 2:
                run(size)
        _LOG.info("%s: batches of up to %d, %d at once", self.spec.name, best, self.streams)
        return best

    def _start_runner(self, most: int) -> None:
        if self._runner:
            self._runner.clear()
        if self._on_cuda:
            self._runner = CudaRunner(self._network, self.device, most)

    def _memory(self) -> int:
        """Bytes that the model takes, at work: what is allocated on its GPU since before it was there."""
        if self._on_cuda:
            return torch.cuda.max_memory_allocated(self.device) - self._memory_before
        return WORKING_MEMORY * sum(x.numel() * x.element_size() for x in self._net.parameters())

    def _optimised(
        self, net: nn.Module, precision: str, probe: NDArray[np.uint8]
    ) -> tuple[AlphaNet, NDArray[np.float32], float]:
        """The quickest form of the network that agrees with its float32 form on this very device.

        Also its alphas of the probe, (1, h, w), and the seconds that it takes for them.
        """
        net = fold_batch_norm(net).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        full = AlphaNet(net, self.spec).to(self.device)
        reference, full_seconds = self._timed(full, probe)
        if precision == "float32":
            return full, reference, full_seconds
        wanted = half_precisions(self.device) if precision == "auto" else [getattr(torch, precision)]
        for dtype in wanted:
            half = AlphaNet(copy.deepcopy(net).to(dtype), self.spec).to(self.device)
            alpha, seconds = self._timed(half, probe)
            _LOG.info("%s: %s takes %.4f s, float32 %.4f s", self.spec.name, dtype, seconds, full_seconds)
            # One picture on a GPU mostly waits for launches, so that a race would be decided by chance.
            quick = precision != "auto" or self._on_cuda or seconds < full_seconds
            if quick and selftest.agree(alpha, reference):
                return half, alpha, seconds
        if precision != "auto":
            raise ModelUnavailable(f"model '{self.spec.name}' in {precision} differs from float32 too much")
        return full, reference, full_seconds

    def _timed(self, net: AlphaNet, probe: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """The alphas, and the seconds that a call takes: the better of two, as the first one warms up.

        On a CPU, where the call has one thread, its own time: other work of the machine does not count.
        """
        clock = time.thread_time if self.device.type == "cpu" else time.perf_counter
        seconds = math.inf
        for _ in range(2):
            start = clock()
            alphas = self._eager(net, probe, self.device)
            seconds = min(seconds, clock() - start)
            if seconds > _WARM_AFTER:
                break
        return alphas, seconds
