"""Modulated deformable convolution on CUDA, without autograd: of all the ways there are, the quickest one.

Which one that is depends on the GPU, the precision and the sizes, so it is measured, once for each class of
arguments, on the first arguments of that class: warm up every class that is to be served, and do so before
its CUDA graph is recorded.
"""

import importlib.util
import logging
import math
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from model.nets.birefnet import deform_plain

__all__ = ["Implementation", "Quickest", "deform_conv2d"]

_LOG = logging.getLogger(__name__)

_Arguments: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, int]
Implementation: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, int], Tensor]
"""Arguments and result of `model.nets.birefnet.deform.deform_conv2d`."""

_TOLERANCE = {torch.float16: 5e-3, torch.bfloat16: 3e-2, torch.float32: 1e-4, torch.float64: 1e-9}
"""Largest difference between two right results, as a share of the largest value."""

_ROUNDS = 5
_LARGEST = 2**31 - 1
"""Elements of a tensor. Kernels count in int32."""


class Quickest:
    """One function of several implementations: the quickest that agrees with the plain one.

    Arguments of one dtype and device, of one layer and of about as many places (within a power of two) are a
    class and share what was measured for its first ones; the oldest of more than `classes` is forgotten. A
    candidate that fails or disagrees is left out, with a line in the log; if all are, the plain one remains.
    While a graph is recorded nothing can be measured: an unknown class goes the plain way, and stays unknown.
    May be called from several threads.

    Args:
        plain: what is right by definition.
        candidates: by name; asked for once, at the first call.
        seconds: how long a call takes.
        recording: whether the calling thread records the GPU's work as a graph.
    """

    def __init__(
        self,
        plain: Implementation,
        candidates: Callable[[], Mapping[str, Implementation]],
        seconds: Callable[[Callable[[], object]], float],
        recording: Callable[[], bool],
        classes: int = 64,
    ) -> None:
        self._plain = plain
        self._find = candidates
        self._seconds = seconds
        self._recording = recording
        self._classes = classes
        self._candidates: Mapping[str, Implementation] | None = None
        self._chosen: dict[Hashable, Implementation] = {}
        self._lock = threading.Lock()

    def __call__(
        self,
        x: Tensor,
        offset: Tensor,
        modulation: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        padding: int,
    ) -> Tensor:
        """As `Implementation`. Raises what the plain implementation raises."""
        arguments = (x, offset, modulation, weight, bias, padding)
        places, outputs = offset[:, :1].numel(), weight.shape[0]
        if max(x.numel(), offset.numel(), places * outputs) > _LARGEST:
            return self._plain(*arguments)
        key = (x.device, x.dtype, offset.dtype, weight.dtype, weight.shape, padding, places.bit_length())
        if key not in self._chosen:
            if self._recording():
                _LOG.warning("deformable convolution of %s: recorded unmeasured, the plain way", key)
                return self._plain(*arguments)
            with self._lock:
                if key not in self._chosen:
                    return self._choose(key, arguments)
        return self._chosen.get(key, self._plain)(*arguments)

    def _choose(self, key: Hashable, arguments: _Arguments) -> Tensor:
        """Measures for that class of arguments. Gives the plain result, which is there anyway."""
        if self._candidates is None:
            self._candidates = self._find()
        expected = self._plain(*arguments)
        if self._candidates and not expected.isfinite().all():
            return expected  # nothing can agree with it: the next arguments will tell
        seconds = {}
        for name, candidate in self._candidates.items():
            try:
                _check(candidate(*arguments), expected)
                seconds[name] = self._seconds(partial(candidate, *arguments))
            except torch.OutOfMemoryError:
                raise
            except Exception as exc:  # compilers and foreign libraries fail in many ways: there are others
                _LOG.warning("deformable convolution of %s: without %s: %s", key, name, exc)
        if seconds:
            seconds["plain"] = self._seconds(partial(self._plain, *arguments))
        best = min(seconds, key=seconds.__getitem__, default="plain")
        listed = ", ".join(f"{name} {1e3 * value:.3f} ms" for name, value in seconds.items())
        _LOG.info("deformable convolution of %s: %s of %s", key, best, listed or "no other")
        if len(self._chosen) >= self._classes:
            del self._chosen[next(iter(self._chosen))]
        self._chosen[key] = self._candidates.get(best, self._plain)
        return expected


def _check(result: Tensor, expected: Tensor) -> None:
    """Raises ArithmeticError when they differ by more than their precision explains."""
    difference, largest = (result - expected).abs_().amax().item(), expected.abs().amax().item()
    if not difference <= _TOLERANCE[expected.dtype] * largest:
        raise ArithmeticError(f"differs by {difference:.3g} where the largest value is {largest:.3g}")


def _fused() -> dict[str, Implementation]:
    """The candidates of this installation: none of them is a dependency."""
    found: dict[str, Implementation] = {}
    for library, load in (("triton", _triton), ("torchvision", _torchvision)):
        if importlib.util.find_spec(library) is None:
            continue
        try:
            found |= load()
        except Exception as exc:  # built for another torch, or for another machine
            _LOG.warning("deformable convolution: %s does not load: %s", library, exc)
    return found


def _triton() -> Mapping[str, Implementation]:
    from model.nets.birefnet import deform_triton  # Triton is there for GPUs only, and slow to import

    return deform_triton.VARIANTS


def _torchvision() -> Mapping[str, Implementation]:
    importlib.import_module("torchvision")  # registers its operators
    operator = torch.ops.torchvision.deform_conv2d

    def run(
        x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
    ) -> Tensor:
        shift = x.new_zeros(len(weight)) if bias is None else bias
        ones = (1, 1)  # stride, dilation, groups of weights and of offsets
        y: Tensor = operator(
            x, weight, offset, modulation, shift, *ones, padding, padding, *ones, *ones, True
        )
        return y.contiguous(memory_format=torch.channels_last)

    return {"torchvision": run}


def _gpu_seconds(call: Callable[[], object]) -> float:
    """The best of a few calls, on the GPU's own clock: the host's part hides behind other layers' work."""
    best = math.inf
    for _ in range(_ROUNDS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        end.synchronize()
        best = min(best, start.elapsed_time(end) / 1000)
    return best


_QUICKEST = Quickest(deform_plain.deform_conv2d, _fused, _gpu_seconds, torch.cuda.is_current_stream_capturing)

_OPERATOR = "objectcut::deform_conv2d"
"""An operator of torch's own kind: torch.compile takes it as it is and does not look inside."""

torch.library.define(
    _OPERATOR,
    "(Tensor x, Tensor offset, Tensor modulation, Tensor weight, Tensor? bias, int padding) -> Tensor",
)


@torch.library.impl(_OPERATOR, "CUDA")
def _run(
    x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    with torch.cuda.device(x.device):  # Triton launches on the current device
        return _QUICKEST(x, offset, modulation, weight, bias, padding)


@torch.library.register_fake(_OPERATOR)  # type: ignore[untyped-decorator]
def _shape(x: Tensor, offset: Tensor, _modulation: Tensor, weight: Tensor, *_: object) -> Tensor:
    batch, height, width = len(offset), *offset.shape[2:]
    return x.new_empty(batch, height, width, len(weight)).permute(0, 3, 1, 2)


def deform_conv2d(
    x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    """`model.nets.birefnet.deform.deform_conv2d` of CUDA tensors that fit together, without gradients."""
    y: Tensor = torch.ops.objectcut.deform_conv2d(x, offset, modulation, weight, bias, padding)
    return y
