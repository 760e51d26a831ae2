"""Every model there is. A request names a key of REGISTRY, never a path or a URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the records can be read, and listed, without waiting for torch
    from torch import nn

__all__ = ["REGISTRY", "ModelSpec", "Weights", "scaled_size"]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_STRIDE = 32


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's parameters, and how to know that they are the right ones.

    file: file name, in model/shipped if `shipped`, else in the directory that models are brought into.
    source: where they come from, for people.
    repo: the repository of a Hugging Face hub that `objectcut models pull` takes them from; None where there
        is none, and `objectcut models import` is the way.
    revision: which version of that repository: a branch, or the commit that sha256 and size belong to.
    sha256, size: of the published (or shipped) file, lower-case hex and bytes; None where they are not
        known: then the first file that proves to be this network's is recorded, see model/weights.py.
    megabytes: of the download, as its page says; for people.
    """

    file: str
    source: str
    shipped: bool = False
    repo: str | None = None
    revision: str = "main"
    sha256: str | None = None
    size: int | None = None
    megabytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model.

    build: the network with arbitrary parameters. In eval mode it takes (B, 3, height, width) float32,
        normalised, and gives logits (B, 1, height, width).
    size: (height, width) in px that a picture is resized to, whatever its shape.
    sides: smallest and largest side in px, multiples of 32, of the square that a request may have its picture
        resized to instead; None where the network knows `size` alone.
    second_look: a picture is looked at a second time, closer and mirrored, where the network's uncertainty
        (model/second_look.py) is greater than this; None for never.
    mean, std: of R, G and B, on a scale of 0 to 1.
    own_white: whether 1 on that scale is each picture's own greatest value, rather than 255.
    licence: SPDX identifier of code and weights.
    paper: the reference to cite.
    """

    name: str
    build: Callable[[], nn.Module]
    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights: Weights
    licence: str
    paper: str
    description: str
    sides: tuple[int, int] | None = None
    second_look: float | None = None
    own_white: bool = False

    def input_size(self, resolution: int | None) -> tuple[int, int]:
        """(height, width) in px for a request that asks for a square of that side; None: for any other.

        Raises ValueError, with the range.
        """
        if resolution is None:
            return self.size
        if self.sides is None:
            raise ValueError(f"model '{self.name}' runs at {self.size[1]} x {self.size[0]} px only")
        smallest, largest = self.sides
        if resolution % _STRIDE or not smallest <= resolution <= largest:
            raise ValueError(
                f"model '{self.name}' takes multiples of {_STRIDE} from {smallest} to {largest} px"
            )
        return resolution, resolution

    @property
    def bring(self) -> str:
        """What brings the weights, for people."""
        if self.weights.repo:
            return f"run `objectcut models pull {self.name}`"
        return (
            f"run `objectcut models import {self.name} FILE` with the checkpoint from {self.weights.source}"
        )


def scaled_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) of that shape, whose longer side is `longest`, in multiples of 32 px."""
    height, width = (max(1, round(longest * side / max(size) / _STRIDE)) * _STRIDE for side in size)
    return height, width


def _lite() -> nn.Module:
    from model.nets.lite import Lite

    return Lite()


def _basnet() -> nn.Module:
    from model.nets.basnet import BASNet

    return BASNet()


def _swin_l() -> nn.Module:
    from model.nets.birefnet import BiRefNet

    return BiRefNet("swin_v1_l")


def _swin_t() -> nn.Module:
    from model.nets.birefnet import BiRefNet

    return BiRefNet("swin_v1_t")


def _birefnet(
    name: str,
    repo: str,
    description: str,
    *,
    megabytes: int,
    size: tuple[int, int] = (1024, 1024),
    sides: tuple[int, int] | None = None,
    build: Callable[[], nn.Module] = _swin_l,
    revision: str = "main",
    pinned: tuple[str, int] | tuple[None, None] = (None, None),
) -> ModelSpec:
    """A checkpoint of BiRefNet's authors. pinned: sha256 and bytes of its file at that revision."""
    sha256, length = pinned
    return ModelSpec(
        name=name,
        build=build,
        size=size,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        weights=Weights(
            file=f"{name}.safetensors",
            source=f"https://huggingface.co/{repo}",
            repo=repo,
            revision=revision,
            sha256=sha256,
            size=length,
            megabytes=megabytes,
        ),
        licence="MIT",
        paper="P. Zheng et al., Bilateral Reference for High-Resolution Dichotomous Image Segmentation, "
        "CAAI AIR 2024, arXiv 2401.03407",
        description=description,
        sides=sides,
    )


_BIREFNETS = (
    _birefnet(
        "birefnet-general",
        "ZhengPeng7/BiRefNet",
        "BiRefNet for everything: the best all-round quality. Wants a GPU.",
        megabytes=444,
    ),
    _birefnet(
        "birefnet-lite",
        "ZhengPeng7/BiRefNet_lite",
        "BiRefNet on a small encoder: the choice between speed and quality.",
        megabytes=178,
        build=_swin_t,
    ),
    _birefnet(
        "birefnet-lite-2k",
        "ZhengPeng7/BiRefNet_lite-2K",
        "birefnet-lite trained at 2560 x 1440 px, for fine structures in wide pictures.",
        megabytes=178,
        size=(1440, 2560),
        build=_swin_t,
        revision="580b1256cd48294d77201a7b18c7dd81964969ab",
        pinned=("aa2e4a5af5eb3904694feb40f2b39ec5dd7cd9110906590cfeb982f09a46021d", 177_634_392),
    ),
    _birefnet(
        "birefnet-portrait",
        "ZhengPeng7/BiRefNet-portrait",
        "BiRefNet for portraits: people and their hair.",
        megabytes=885,
    ),
    _birefnet(
        "birefnet-matting",
        "ZhengPeng7/BiRefNet-matting",
        "BiRefNet for mattes: hair, fur and what is half transparent.",
        megabytes=885,
    ),
    _birefnet(
        "birefnet-hr",
        "ZhengPeng7/BiRefNet_HR",
        "BiRefNet at 2048 px, four times the work: fine structures in large pictures. Wants a GPU.",
        megabytes=444,
        size=(2048, 2048),
    ),
    _birefnet(
        "birefnet-hr-matting",
        "ZhengPeng7/BiRefNet_HR-matting",
        "BiRefNet for mattes at 2048 px. Wants a GPU.",
        megabytes=444,
        size=(2048, 2048),
    ),
    _birefnet(
        "birefnet-dynamic",
        "ZhengPeng7/BiRefNet_dynamic",
        "BiRefNet for any side from 256 to 2304 px, by the option `resolution`; 1024 px by default.",
        megabytes=444,
        sides=(256, 2304),
    ),
    _birefnet(
        "birefnet-dis",
        "ZhengPeng7/BiRefNet-DIS5K",
        "BiRefNet of the paper for dichotomous segmentation: one object, every thin part of it.",
        megabytes=885,
    ),
    _birefnet(
        "birefnet-hrsod",
        "ZhengPeng7/BiRefNet-HRSOD",
        "BiRefNet of the paper for salient objects in high-resolution pictures.",
        megabytes=885,
    ),
    _birefnet(
        "birefnet-cod",
        "ZhengPeng7/BiRefNet-COD",
        "BiRefNet of the paper for camouflaged objects.",
        megabytes=885,
    ),
)

REGISTRY: Mapping[str, ModelSpec] = {
    "lite": ModelSpec(
        name="lite",
        build=_lite,
        size=(320, 320),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        weights=Weights(
            file="lite.safetensors",
            source="Trained for this project: see docs/models/lite.md.",
            shipped=True,
            sha256="c9857eac6a96ef333697b5e6d25c7ca6151d9c04506911bb904f0f94db2b15f2",
            size=11818042,
        ),
        licence="MIT",
        paper="After X. Qin et al., Boundary-Aware Segmentation Network, 2021, arXiv 2101.04704",
        description="Small and quick: BASNet's predict-refine idea on a mobile encoder. Always there.",
        second_look=0.08,
    ),
    "basnet": ModelSpec(
        name="basnet",
        build=_basnet,
        size=(320, 320),
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        weights=Weights(file="basnet.safetensors", source="https://github.com/xuebinqin/BASNet"),
        licence="MIT",
        paper="X. Qin et al., BASNet: Boundary-Aware Salient Object Detection, CVPR 2019",
        description="The network of the original service, with the weights that its authors published.",
        own_white=True,  # as its authors trained it, and the original service ran it
    ),
    **{spec.name: spec for spec in _BIREFNETS},
}
