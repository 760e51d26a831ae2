"""One model on one device: loaded, made quick, warm, and proven right before it serves."""

import copy
import logging
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model import preprocess, selftest, weights
from model.config import EngineConfig
from model.errors import DeviceLost, InferenceFailed, ModelUnavailable, OutOfMemory
from model.preprocess import AlphaNet
from model.registry import ModelSpec

__all__ = ["TorchEngine", "choose_device", "fold_batch_norm"]

_LOG = logging.getLogger(__name__)

_GPU_BATCH = 8

_HEAVY = 0.2
"""Seconds of one core per picture. Below, threads waiting for each other at the end of every layer cost more
than they save as soon as anything else runs on the machine: decoding and encoding, for two."""

_SLOW = 3.0
_SLOW_CORES = 4
"""Above so many seconds a picture gets so many cores of its own: an answer within a request's time, and a
gigabyte or two of activations for every four cores rather than for every one, are worth some throughput."""

_WARM_AFTER = 1.0
"""Seconds. A first call that takes longer tells the time well enough: what it warms up takes far less."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_STICKY = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "hardware stack error",
    "uncorrectable ECC",
    "device is lost",
    "driver shutting down",
)
"""What CUDA says when its context is poisoned: every later call of this process fails, too."""


class TorchEngine:
    """A model that is ready when its constructor returns.

    Raises, from the constructor: ModelUnavailable, when the weights are missing, damaged or of another
    network, or when the self-test's alpha is wrong on this device; ValueError, when the device is not there.

    `prepare`, `predict` and `run` may be called from several threads. On a CPU each call uses one core, which
    gives the most pictures per second, or a few where the network needs seconds; but a call of a heavy
    network uses every core while it is alone.
    """

    def __init__(self, spec: ModelSpec, config: EngineConfig) -> None:
        self.spec = spec
        self.device = choose_device(config.device)
        on_cpu = self.device.type == "cpu"
        self.max_batch = config.max_batch or (1 if on_cpu else _GPU_BATCH)
        self.streams = config.cores if on_cpu else 1
        self._threads_alone = self._threads_each = 1
        self._active = 0
        self._lock = threading.Lock()

        checkpoint = weights.load(spec, config.model_dir)
        self.sha256 = checkpoint.sha256
        probe = selftest.picture(selftest.probe_size(spec.size))[None]
        golden = checkpoint.golden
        if golden is None:
            golden = selftest.thumbnail(self._predict(AlphaNet(checkpoint.net, spec), probe, "cpu")[0])
        self._net, alphas, seconds = self._optimised(checkpoint.net, config.precision, probe)
        self._test(alphas[0], golden)
        if on_cpu:
            self._share_cores(config.cores, seconds * math.prod(spec.size) / math.prod(probe.shape[1:3]))
        self._warm_up(golden if probe.shape[1:3] == spec.size else None)

    @property
    def precision(self) -> str:
        """float32, bfloat16 or float16: what the network computes in."""
        return str(self._net.precision).removeprefix("torch.")

    def facts(self) -> dict[str, str | int]:
        """What is known of the model once it runs: where, how, and with which weights."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return {
            "device": self.device.type,
            "device_name": name,
            "precision": self.precision,
            "sha256": self.sha256,
            "streams": self.streams,
            "max_batch": self.max_batch,
        }

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 to the (*spec.size, 3) uint8 that `run` takes. Work for a thread of the host."""
        return preprocess.resize(rgb, self.spec.size)

    def run(self, pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32] | InferenceFailed]:
        """Alphas (h, w) float32 in [0, 1] of pictures (h, w, 3) uint8; the failure of one in its own place.

        Raises as `predict` does.
        """
        alphas = self.predict(np.stack(pictures))
        return [
            alpha if np.isfinite(alpha).all() else InferenceFailed("the network gave NaN") for alpha in alphas
        ]

    def predict(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, h, w, 3) uint8 to (n, h, w) float32.

        Raises OutOfMemory (fewer may fit), DeviceLost (nothing will work any more), InferenceFailed.
        """
        return self._predict(self._net, batch, self.device)

    def _predict(
        self, net: AlphaNet, batch: NDArray[np.uint8], device: torch.device | str
    ) -> NDArray[np.float32]:
        with self._threads(), _device_errors(), torch.inference_mode():
            alphas: Tensor = net(_to_device(torch.from_numpy(batch), torch.device(device)))
            if alphas.shape != batch.shape[:3]:
                raise InferenceFailed(f"the network gave {tuple(alphas.shape)} for {batch.shape[:3]}")
            return alphas.cpu().numpy()

    @contextmanager
    def _threads(self) -> Iterator[None]:
        """Sets how many threads torch uses on behalf of the calling thread: OpenMP counts per caller."""
        with self._lock:
            self._active += 1
            alone = self._active == 1
        try:
            torch.set_num_threads(self._threads_alone if alone else self._threads_each)
            yield
        finally:
            with self._lock:
                self._active -= 1

    def _share_cores(self, cores: int, seconds: float) -> None:
        """Decides how many pictures are worked on at once. seconds: what one takes on one core."""
        if seconds > _HEAVY:
            self._threads_alone = cores
        if seconds > _SLOW:
            self.streams = max(1, cores // _SLOW_CORES)
            self._threads_each = cores // self.streams
        _LOG.info("%s: %.2f s of a core a picture, %d at once", self.spec.name, seconds, self.streams)

    def _warm_up(self, golden: NDArray[np.float32] | None) -> None:
        """Runs every size of batch at the network's own size once, as far as the device's memory goes.

        golden: what it must give there. Raises OutOfMemory when not even one picture fits.
        """
        picture = selftest.picture(self.spec.size)[None]
        for size in range(1, self.max_batch + 1):
            try:
                alphas = self.predict(np.repeat(picture, size, axis=0))
            except OutOfMemory:
                if size == 1:
                    raise
                self.max_batch = size - 1
                _LOG.warning("%s: memory for %d pictures at once", self.spec.name, self.max_batch)
                return
            for alpha in alphas:
                self._test(alpha, golden)

    def _test(self, alpha: NDArray[np.float32], golden: NDArray[np.float32] | None) -> None:
        """Raises ModelUnavailable unless the alpha is finite and, where there is a golden one, agrees."""
        thumbnail = selftest.thumbnail(alpha)
        if not (np.isfinite(alpha).all() if golden is None else selftest.agree(thumbnail, golden)):
            raise ModelUnavailable(f"model '{self.spec.name}' gives a wrong result in its self-test")

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
            if selftest.agree(alpha, reference) and (precision != "auto" or seconds < full_seconds):
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
            alphas = self._predict(net, probe, self.device)
            seconds = min(seconds, clock() - start)
            if seconds > _WARM_AFTER:
                break
        return alphas, seconds


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` prefers a GPU.

    Raises ValueError when it is not there: a service that was promised a GPU must not crawl on a CPU.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there[name]:
        raise ValueError(f"the device '{name}' was asked for, and torch {torch.__version__} finds none here")
    return torch.device(name)


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """The same function with each batch norm folded into the convolution before it. net: in eval mode.

    A network whose course depends on its data cannot be traced; it comes back as it is.
    """
    try:
        traced = fx.symbolic_trace(net)
    except Exception as exc:  # the tracer fails in many ways, and none of them matters
        _LOG.info("batch norm stays unfolded: %s", exc)
        return net
    modules = dict(traced.named_modules())
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    for norm in list(traced.graph.nodes):
        if norm.op != "call_module" or not isinstance(modules[norm.target], nn.BatchNorm2d):
            continue
        conv = norm.args[0]
        if (
            conv.op == "call_module"
            and isinstance(modules[conv.target], nn.Conv2d)
            and len(conv.users) == calls.count(conv.target) == calls.count(norm.target) == 1
        ):
            fused = fuse_conv_bn_eval(modules[conv.target], modules[norm.target])
            traced.set_submodule(conv.target, fused)
            norm.replace_all_uses_with(conv)
            traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def half_precisions(device: torch.device) -> list[torch.dtype]:
    """Candidates, best first. A CPU without bfloat16 instructions emulates them, minutes per picture."""
    if device.type == "cuda":
        return [torch.float16, torch.bfloat16]
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return [torch.bfloat16]
    return []


def _to_device(batch: Tensor, device: torch.device) -> Tensor:
    """uint8 travels: a quarter of float32's bytes. Pinned memory makes the copy asynchronous."""
    return batch.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else batch.to(device)


@contextmanager
def _device_errors() -> Iterator[None]:
    """torch's failures as ours."""
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        text = str(exc)
        if isinstance(exc, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
            torch.cuda.empty_cache()  # nothing where there is no CUDA
            raise OutOfMemory(text) from exc
        if any(words in text for words in _STICKY):
            raise DeviceLost(text) from exc
        raise InferenceFailed(text) from exc
