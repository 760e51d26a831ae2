"""The ways of running a network that are measured against each other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model import weights
from model.config import EngineConfig
from model.engine import TorchEngine
from model.errors import ModelUnavailable
from model.nets.birefnet import BACKBONES, BiRefNet
from model.optimise import fold_batch_norm
from model.preprocess import AlphaNet
from model.registry import REGISTRY, ModelSpec
from tests.bench.figures import EAGER, OPENVINO, OURS
from tests.bench.report import progress
from tests.model.nets.parity import fill_by_name
from tests.straightforward import straightforward

GROUPS = (("lite", "basnet"), ("birefnet-lite",), ("birefnet-general",))
"""One network of each kind; those of a group are measured turn by turn in the same rounds."""

LARGE = (("birefnet-lite-2k",), ("birefnet-hr",))
"""The same at larger sizes: for GPUs."""

_IN_REGISTRY = {"swin_v1_t": "birefnet-lite", "swin_v1_l": "birefnet-general"}
ENCODERS = {f"birefnet-{backbone}": backbone for backbone in BACKBONES if backbone not in _IN_REGISTRY}
"""BiRefNet on the encoders that no model of the registry has."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A network, loaded and warm, that turns (n, h, w, 3) uint8 into alphas (n, h, w) float32.

    streams: how many such calls the service would have at work at once.
    """

    spec: ModelSpec
    way: str
    precision: str
    streams: int
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def specification(name: str) -> ModelSpec:
    """The record of the registry, or one for another encoder of BiRefNet."""
    if name in REGISTRY:
        return REGISTRY[name]
    return replace(REGISTRY["birefnet-lite"], name=name, build=partial(BiRefNet, ENCODERS[name]))


def with_weights(spec: ModelSpec, scratch: Path) -> ModelSpec:
    """The same network with weights: those of the package, else arbitrary ones put into `scratch`.

    These follow from the parameters' names: two runs of a bench, and two machines, have the same.
    """
    if spec.weights.shipped:
        return spec
    spec = replace(spec, weights=replace(spec.weights, sha256=None, size=None))
    net = spec.build()
    fill_by_name(net)
    weights.store(spec, net.state_dict(), scratch, dtype=torch.float16)
    return spec


def contenders(spec: ModelSpec, config: EngineConfig) -> Iterator[Contender]:
    """Every way that there is on this machine, the straightforward one first."""
    engine = TorchEngine(spec, config)
    net = weights.load(spec, config.model_dir).net
    yield _launched(EAGER, spec, straightforward(net), config, engine.device)
    if engine.device.type == "cuda":
        half = fold_batch_norm(net).to(getattr(torch, engine.precision))
        half = half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        yield _launched("no graphs", spec, half, config, engine.device)
    yield Contender(spec, OURS, engine.precision, engine.streams, engine.predict)
    if engine.device.type == "cuda":
        compiled = TorchEngine(spec, config.model_copy(update={"compile": True}))
        yield Contender(spec, "compiled", compiled.precision, compiled.streams, compiled.predict)
    elif find_spec("openvino"):
        from model.openvino import OpenVinoEngine

        try:
            other = OpenVinoEngine(spec, config)
        except ModelUnavailable as exc:
            progress(f"without openvino: {exc}")
        else:
            yield Contender(spec, OPENVINO, other.precision, other.streams, other.predict)


def _launched(
    way: str, spec: ModelSpec, net: nn.Module, config: EngineConfig, device: torch.device
) -> Contender:
    """The network called as it is, kernel by kernel."""
    alphas_of = AlphaNet(net, spec).to(device)

    @torch.inference_mode()
    def run(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        torch.set_num_threads(config.cores)
        alphas: NDArray[np.float32] = alphas_of(torch.from_numpy(pictures).to(device)).cpu().numpy()
        return alphas

    return Contender(spec, way, str(alphas_of.precision).removeprefix("torch."), 1, run)
