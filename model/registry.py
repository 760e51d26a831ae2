"""Every model there is. A request names a key of REGISTRY, never a path or a URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the records can be read, and listed, without waiting for torch
    from torch import nn

__all__ = ["REGISTRY", "ModelSpec", "Weights"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's parameters, and how to know that they are the right ones.

    file: file name, in model/shipped if `shipped`, else in the directory that models are imported into.
    source: where they come from, for people.
    sha256, size: of the file, lower-case hex and bytes; None when only the import's lock file knows them.
    """

    file: str
    source: str
    shipped: bool = False
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    build: the network with arbitrary parameters. In eval mode it takes (B, 3, side, side) float32,
        normalised, and gives logits (B, 1, side, side).
    side: px, the square that a picture is resized to.
    mean, std: of R, G and B, on a scale of 0 to 1.
    licence: SPDX identifier of code and weights.
    paper: the reference to cite.
    """

    name: str
    build: Callable[[], nn.Module]
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights: Weights
    licence: str
    paper: str
    description: str


def _lite() -> nn.Module:
    from model.nets.lite import Lite

    return Lite()


def _basnet() -> nn.Module:
    from model.nets.basnet import BASNet

    return BASNet()


REGISTRY: Mapping[str, ModelSpec] = {
    "lite": ModelSpec(
        name="lite",
        build=_lite,
        side=320,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        weights=Weights(
            file="lite.safetensors",
            source="Trained for this project: see docs/models/lite.md.",
            shipped=True,
            sha256="253c13ea4a05ab3b4c9be019b69b8a25864e5154d9a49cacb53666065b3a359c",
            size=6655698,
        ),
        licence="MIT",
        paper="After X. Qin et al., Boundary-Aware Segmentation Network, 2021, arXiv 2101.04704",
        description="Small and quick: BASNet's predict-refine idea on a mobile encoder. Always there.",
    ),
    "basnet": ModelSpec(
        name="basnet",
        build=_basnet,
        side=320,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        weights=Weights(file="basnet.safetensors", source="https://github.com/xuebinqin/BASNet"),
        licence="MIT",
        paper="X. Qin et al., BASNet: Boundary-Aware Salient Object Detection, CVPR 2019",
        description="The network of the original service, with the weights that its authors published.",
    ),
}
