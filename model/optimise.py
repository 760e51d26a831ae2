"""Forms of a network that give the same result sooner."""

import logging
import math
from collections.abc import Callable, Iterator

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model.errors import OutOfMemory
from model.nets.birefnet.deform import DeformableConv2d

__all__ = ["batch_sizes", "best_batch", "compiled", "fold_batch_norm"]

_LOG = logging.getLogger(__name__)

_WORTH = 1.05
"""A larger batch must bring so many times the pictures per second: it costs memory, and time of each."""

_TURNS = 4


def batch_sizes(most: int) -> tuple[int, ...]:
    """1, 2, 4, …, most: the sizes that a batch may have where every size is to be known beforehand."""
    return (*(1 << power for power in range((most - 1).bit_length())), most)


def best_batch(run: Callable[[int], object], most: int, clock: Callable[[], float]) -> int:
    """The batch beyond which pictures per second hardly improve, or memory ends; 1 is a legal answer.

    run: runs a batch of that size; once, where nothing larger is allowed anyway.
    Raises OutOfMemory when not even one picture fits.
    """
    if most == 1:
        run(1)
        return 1
    best, rate = 1, 0.0
    for size in batch_sizes(most):
        try:
            seconds = math.inf
            for turn in range(_TURNS):
                start = clock()
                run(size)
                if turn:  # the first one warms up; where graphs are recorded, the second one does
                    seconds = min(seconds, clock() - start)
        except OutOfMemory:
            if size == 1:
                raise
            _LOG.warning("no memory for a batch of %d", size)
            break
        if size / max(seconds, 1e-9) < _WORTH * rate:
            break
        best, rate = size, size / max(seconds, 1e-9)
    return best


def compiled(net: nn.Module, backend: str = "inductor") -> nn.Module:
    """The network as torch.compile makes it, anew for each shape of input; torch bounds their number."""
    return torch.compile(net, dynamic=False, backend=backend)  # type: ignore[return-value]


def fold_batch_norm(net: nn.Module) -> nn.Module:
    """Folds, in place, each batch norm into the convolution before it. net: in eval mode; it is returned.

    Part by part, from the inside out: a part whose course depends on its data cannot be traced, so what
    stands directly in it stays as it is, and what it is made of is folded all the same.
    """
    opaque = {module for module in net.modules() if not _normalises(module)}
    for module in reversed(list(net.modules())):  # parts before what they are part of
        if module in opaque or isinstance(module, nn.BatchNorm2d):
            continue
        try:
            graph = _Tracer(opaque).trace(module)
        except Exception as exc:  # the tracer fails in many ways, and none of them matters
            _LOG.info("%s is not traced: %s", type(module).__name__, exc)
            opaque.add(module)
            continue
        for conv, norm in _pairs(graph):
            _fold(module, conv, norm)
    return net


class _Tracer(fx.Tracer):
    """Records the calls of a module's parts; does not look into the opaque ones."""

    def __init__(self, opaque: set[nn.Module]) -> None:
        super().__init__()
        self._opaque = opaque

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return m in self._opaque or super().is_leaf_module(m, module_qualified_name)


def _normalises(module: nn.Module) -> bool:
    return any(isinstance(part, nn.BatchNorm2d) for part in module.modules())


def _pairs(graph: fx.Graph) -> Iterator[tuple[str, str]]:
    """Names of convolutions and of the batch norms that alone see their results, each called once."""
    calls = [str(node.target) for node in graph.nodes if node.op == "call_module"]
    for node in graph.nodes:
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        conv, norm = str(before.target), str(node.target)
        if len(before.users) == calls.count(conv) == calls.count(norm) == 1:
            yield conv, norm


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    """Nothing, where the two are something else."""
    if isinstance(module.get_submodule(conv), DeformableConv2d):
        conv = f"{conv}.regular_conv"  # where it keeps its weights, in which it is linear, too
    before, after = module.get_submodule(conv), module.get_submodule(norm)
    if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
        module.set_submodule(conv, fuse_conv_bn_eval(before, after))
        module.set_submodule(norm, nn.Identity())
