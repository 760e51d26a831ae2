"""BASNet: boundary-aware segmentation by prediction and residual refinement.

X. Qin et al., "BASNet: Boundary-Aware Salient Object Detection", CVPR 2019, and its follow-up
"Boundary-Aware Segmentation Network for Mobile and Web Applications", 2021 (arXiv 2101.04704),
whose sections 3.2 and 3.3 are meant below. Parameters bear the names of the authors' published
checkpoint, which loads strictly.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BASNet"]

_ENCODER = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Filters and number of res-blocks of encoder stages 1 to 4: those of ResNet-34."""

_DECODER = {6: (512, 512), 5: (512, 512), 4: (512, 256), 3: (256, 128), 2: (128, 64), 1: (64, 64)}
"""Stage, deepest first: the filters of its first two layers, and of its last."""


class BASNet(nn.Module):
    """The prediction module and, on its finest map, the residual refinement module.

    In: (B, 3, H, W) float, normalised; H and W multiples of 32 (the paper's: 320).
    Out in eval mode: (B, 1, H, W) logits of the refined map; nothing is spent on the side outputs.
    Out in training mode: the eight of `maps`, for deep supervision.
    """

    def __init__(self) -> None:
        super().__init__()
        # Stride 1 and no pooling, unlike ResNet-34: stage 1 sees every pixel of the input (section 3.2).
        self.inconv = nn.Conv2d(3, 64, 3, padding=1)
        self.inbn = nn.BatchNorm2d(64)
        depth = 64
        for stage, (filters, blocks) in enumerate(_ENCODER, start=1):
            first = _ResBlock(depth, filters, stride=1 if stage == 1 else 2)
            rest = (_ResBlock(filters, filters) for _ in range(blocks - 1))
            self.add_module(f"encoder{stage}", nn.Sequential(first, *rest))
            depth = filters
        # Two stages more than ResNet-34 win its receptive field back.
        for stage in (5, 6):
            for block in (1, 2, 3):
                self.add_module(f"resb{stage}_{block}", _ResBlock(512, 512))

        # The bridge: dilated layers, for global context.
        self._add_stage("bg", 512, 512, 512, dilations=(2, 2, 2))
        self.outconvb = nn.Conv2d(512, 1, 3, padding=1)
        for stage, (within, last) in _DECODER.items():
            # Twice the depth: the coarser stage's features and the encoder's, side by side.
            self._add_stage(f"{stage}d", 2 * within, within, last, (1, 2, 2) if stage == 6 else (1, 1, 1))
            self.add_module(f"outconv{stage}", nn.Conv2d(last, 1, 3, padding=1))
        self.refunet = _Refinement()

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Logits of the refined map, or of all maps in training mode: see the class."""
        if self.training:
            return self.maps(x)
        finest = self._features(x)[-1]
        refined: Tensor = self.refunet(self.get_submodule("outconv1")(finest))
        return refined

    def maps(self, x: Tensor) -> list[Tensor]:
        """Logits (B, 1, H, W) of the refined map, side outputs 1 (finest) to 6, and the bridge's map."""
        bridge, *stages = self._features(x)
        sides = [self.get_submodule(f"outconv{stage}")(f) for stage, f in zip(_DECODER, stages, strict=True)]
        # A side output is enlarged as logits; its sigmoid comes last.
        deep, coarse = [self.outconvb(bridge), *sides[:-1]], sides[-1]
        enlarged = [_enlarge(side, int(x.shape[-1] // side.shape[-1])) for side in deep]
        return [self.refunet(coarse), coarse, *reversed(enlarged)]

    def _features(self, x: Tensor) -> list[Tensor]:
        """What the bridge and decoder stages 6 to 1 put out, in this order."""
        x = F.relu(self.inbn(self.inconv(x)), inplace=True)
        skips = []
        for stage in (1, 2, 3, 4):
            x = self.get_submodule(f"encoder{stage}")(x)
            skips.append(x)
        for stage in (5, 6):
            x = F.max_pool2d(x, 2)
            for block in (1, 2, 3):
                x = self.get_submodule(f"resb{stage}_{block}")(x)
            skips.append(x)

        x = self._stage("bg", x)
        features = [x]
        for stage in _DECODER:
            if stage < 6:
                x = _enlarge(x, 2)
            x = self._stage(f"{stage}d", torch.cat((x, skips.pop()), dim=1))
            features.append(x)
        return features

    def _add_stage(
        self, name: str, depth: int, within: int, last: int, dilations: tuple[int, int, int]
    ) -> None:
        """Three layers of convolution, batch norm and ReLU, as the bridge and every decoder stage have."""
        widths = ((depth, within), (within, within), (within, last))
        for layer, (inputs, outputs), dilation in zip("1m2", widths, dilations, strict=True):
            conv = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
            self.add_module(f"conv{name}_{layer}", conv)
            self.add_module(f"bn{name}_{layer}", nn.BatchNorm2d(outputs))

    def _stage(self, name: str, x: Tensor) -> Tensor:
        for layer in "1m2":
            x = self.get_submodule(f"conv{name}_{layer}")(x)
            x = F.relu(self.get_submodule(f"bn{name}_{layer}")(x), inplace=True)
        return x


class _ResBlock(nn.Module):
    """The basic block of ResNet-18 and -34: relu(f(x) + x), with x projected where its shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if (inputs, stride) != (outputs, 1):
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return F.relu(y, inplace=True)


class _Refinement(nn.Module):
    """Residual refinement module (section 3.3): S_refined = S_coarse + S_residual (equation 1), on logits.

    A small encoder-decoder of four stages, one layer of 64 filters each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(1, 64, 3, padding=1)
        # Layers 1 to 4 are the encoder, 5 is the bridge, d4 to d1 the decoder.
        for layer in ("1", "2", "3", "4", "5", "_d4", "_d3", "_d2", "_d1"):
            depth = 128 if layer.startswith("_d") else 64
            self.add_module(f"conv{layer}", nn.Conv2d(depth, 64, 3, padding=1))
            self.add_module(f"bn{layer}", nn.BatchNorm2d(64))
        self.conv_d0 = nn.Conv2d(64, 1, 3, padding=1)

    def forward(self, coarse: Tensor) -> Tensor:
        """(B, 1, H, W) logits to (B, 1, H, W) logits."""
        x = self.conv0(coarse)
        skips = []
        for layer in "1234":
            x = self._layer(layer, x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self._layer("5", x)
        for layer in "4321":
            x = self._layer(f"_d{layer}", torch.cat((_enlarge(x, 2), skips.pop()), dim=1))
        residual: Tensor = self.conv_d0(x)
        return coarse + residual

    def _layer(self, name: str, x: Tensor) -> Tensor:
        x = self.get_submodule(f"conv{name}")(x)
        return F.relu(self.get_submodule(f"bn{name}")(x), inplace=True)


def _enlarge(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
