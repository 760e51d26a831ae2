"""Our own small network: BASNet's predict-refine idea on a mobile encoder.

    picture -> encoder (EfficientNet-Lite2, strides 2..32) -> context (self-attention over the coarsest grid)
            -> decoder with a side output at every stride -> residual refinement module -> logits

From BASNet (Qin et al., 2021, section 3): an encoder-decoder prediction module whose every stage is
supervised, and a residual refinement module that sharpens the coarse map, S_refined = S_coarse + S_residual
(equation 1). The encoder is EfficientNet-Lite2 (Tan and Le, 2019; Liu, 2020: EfficientNet for small devices,
without squeeze-and-excitation and with ReLU6) with batch norm folded into its convolutions. The context block
is a pair of pre-norm transformer layers (Vaswani et al., 2017): at stride 32 a 320 px picture is a hundred
tokens, so global reasoning about what the subject is costs next to nothing.
"""

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from model.errors import ModelUnavailable

_ENCODER = (
    # (expansion, channels, blocks, stride, kernel): EfficientNet-B0's (Tan and Le, 2019, table 1), 1.1 times
    # as wide and 1.2 times as deep
    (1, 16, 1, 1, 3),
    (6, 24, 3, 2, 3),
    (6, 48, 3, 2, 5),
    (6, 88, 4, 2, 3),
    (6, 120, 4, 1, 5),
    (6, 208, 5, 2, 5),
    (6, 352, 1, 1, 3),
)
_NORM = ("running_mean", "running_var", "weight", "bias")
_EPSILON = 1e-3
"""Of the published weights' batch norms."""


class PaddedConv(nn.Conv2d):
    """A convolution that pads one pixel less at left and top where its stride is 2, as TensorFlow does."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        half = kernel // 2
        padding = half if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding, groups=groups)
        self.around = (half - 1, half, half - 1, half)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.around) if self.stride[0] == 2 else x)


class InvertedResidual(nn.Module):
    """MobileNetV2's block (Sandler et al., 2018): expand 1x1, depthwise, project 1x1 without activation."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels_in * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [nn.Conv2d(channels_in, wide, 1)]
        layers += [PaddedConv(wide, wide, kernel, stride, groups=wide), nn.Conv2d(wide, channels_out, 1)]
        self.convs = nn.ModuleList(layers)
        self.residual = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs[:-1]:
            y = F.relu6(conv(y))
        y = self.convs[-1](y)
        return torch.add(x, y) if self.residual else y


class Encoder(nn.Module):
    """EfficientNet-Lite2. (B, 3, H, W) -> five maps at strides 2, 4, 8, 16, 32 with `channels` channels."""

    channels = (16, 24, 48, 120, 1280)

    def __init__(self) -> None:
        super().__init__()
        self.stem = PaddedConv(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for expansion, width, count, stride, kernel in _ENCODER:
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(InvertedResidual(channels, width, kernel, step, expansion))
                channels = width
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(channels, 1280, 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem(x))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in (0, 3, 6, 14):  # the last block of each stride
                maps.append(x)
        return [*maps, F.relu6(self.head(x))]

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Takes the state dict of the classifier, as published, and folds its batch norms.

        Raises ModelUnavailable where it is another network's.
        """
        published = [("stem", "_conv_stem", "_bn0"), ("head", "_conv_head", "_bn1")]
        parts = [("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")]
        for index, block in enumerate(self.blocks):
            convs = cast(InvertedResidual, block).convs
            for place, names in enumerate(parts[-len(convs) :]):  # the first block has nothing to expand
                conv, norm = (f"_blocks.{index}.{name}" for name in names)
                published.append((f"blocks.{index}.convs.{place}", conv, norm))
        state = dict[str, Tensor]()
        try:
            for name, conv, norm in published:
                mean, variance, scale, shift = (weights[f"{norm}.{leaf}"].float() for leaf in _NORM)
                state[f"{name}.weight"], state[f"{name}.bias"] = fuse_conv_bn_weights(
                    weights[f"{conv}.weight"].float(), None, mean, variance, _EPSILON, scale, shift
                )
            self.load_state_dict(state)
        except (KeyError, RuntimeError) as exc:
            raise ModelUnavailable(f"these weights are no EfficientNet-Lite2: {exc}") from None


class ContextLayer(nn.Module):
    """A pre-norm transformer layer over a (B, N, C) grid of tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(batch, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + self.project(attended)
        return torch.add(x, self.mlp(self.norm_mlp(x)))


class Context(nn.Module):
    """Global context at the coarsest stride: a depthwise convolution says where, attention says what.

    (B, C_in, h, w) -> (B, width, h, w)
    """

    def __init__(self, channels_in: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels_in, width, 1)
        # Positions: conditional encodings (Chu et al., 2021) carry over to any input side.
        self.position = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.layers = nn.ModuleList(ContextLayer(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        x = x + self.position(x)
        batch, width, height, breadth = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens.transpose(1, 2).reshape(batch, width, height, breadth)


class SeparableConv(nn.Sequential):
    """Depthwise 5x5, pointwise 1x1, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_in, 5, padding=2, groups=channels_in, bias=False),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class ConvNormReLU(nn.Sequential):
    """A dense convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class DecoderStage(nn.Module):
    """Joins what comes from below, one stride coarser, with the encoder's map of this stride."""

    def __init__(self, channels_below: int, channels_skip: int, width: int) -> None:
        super().__init__()
        self.below = nn.Conv2d(channels_below, width, 1)
        self.skip = nn.Conv2d(channels_skip, width, 1)
        self.convs = nn.Sequential(SeparableConv(2 * width, width), SeparableConv(width, width))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined = torch.cat([_upsample(self.below(below), skip), self.skip(skip)], dim=1)
        features: Tensor = self.convs(joined)
        return features


class Refinement(nn.Module):
    """BASNet's residual refinement module (section 3.3), working at half resolution.

    It sees the picture itself, the coarse map and the finest decoder features. Pixels are folded into
    channels (2x2 -> 4) on the way in and unfolded on the way out, so that the residual has full resolution
    while everything else happens on a quarter of the pixels.
    """

    quarters: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.enter = ConvNormReLU(4 * (3 + 1) + features, 32, 1)
        self.fine = ConvNormReLU(32, 32, 3)
        self.down = ConvNormReLU(32, 48, 3, stride=2)
        self.middle = nn.Sequential(
            SeparableConv(48, 48), ConvNormReLU(48, 64, 3, stride=2), SeparableConv(64, 64)
        )
        self.rise = SeparableConv(64 + 48, 48)
        self.leave = SeparableConv(48 + 32, 32)
        self.residual = nn.Conv2d(32, 4, 3, padding=1)
        # Bilinear, by two: the weights of a pixel's neighbours for the first and the second of its line.
        line = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
        quarters = torch.einsum("ik,jl->ijkl", line, line).reshape(4, 1, 3, 3)
        self.register_buffer("quarters", quarters, persistent=False)

    def forward(self, picture: Tensor, coarse: Tensor, features: Tensor) -> Tensor:
        """picture (B,3,H,W), coarse logits (B,1,H/2,W/2), features (B,C,H/2,W/2) -> refined (B,1,H,W)."""
        # The coarse map at full resolution, already folded.
        folded = F.conv2d(F.pad(coarse, (1, 1, 1, 1), mode="replicate"), self.quarters)
        fine = self.fine(self._entered(picture, folded.tanh(), features))
        half = self.down(fine)
        quarter = self.middle(half)
        half = self.rise(torch.cat([_upsample(quarter, half), half], dim=1))
        fine = self.leave(torch.cat([_upsample(half, fine), fine], dim=1))
        return F.pixel_shuffle(folded + self.residual(fine), 2)

    def _entered(self, picture: Tensor, folded: Tensor, features: Tensor) -> Tensor:
        """`enter` of all three side by side, without laying them there: for each its part of the weights."""
        convolution, norm, activation = cast(tuple[nn.Conv2d, nn.Module, nn.Module], tuple(self.enter))
        weight = convolution.weight
        of_picture, of_coarse, of_features = weight[:, :12], weight[:, 12:16], weight[:, 16:]
        y = F.conv2d(picture, of_picture.reshape(-1, 3, 2, 2), convolution.bias, stride=2)
        y = y + F.conv2d(folded, of_coarse) + F.conv2d(features, of_features)
        entered: Tensor = activation(norm(y))
        return entered


class Lite(nn.Module):
    """The network behind the model `lite`.

    forward: pictures (B, 3, H, W) float, normalised with mean 0.5 and std 0.5 to [-1, 1]; H and W multiples
    of 32. In eval mode the refined logits (B, 1, H, W); in training mode a list of logits, finest first: the
    refined map, then the side outputs at strides 2 (the coarse map that is refined), 4, 8, 16 and 32.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.context = Context(1280, width=192, layers=2, heads=6)
        widths = (128, 96, 64, 32)
        below = (192, *widths[:-1])
        skips = Encoder.channels[-2::-1]
        self.stages = nn.ModuleList(
            DecoderStage(*channels) for channels in zip(below, skips, widths, strict=True)
        )
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 3, padding=1) for width in (192, *widths))
        self.refinement = Refinement(features=widths[-1])

    def forward(self, picture: Tensor) -> Tensor | list[Tensor]:
        *skips, deepest = self.encoder(picture)
        features = [self.context(deepest)]
        for stage, skip in zip(self.stages, reversed(skips), strict=True):
            features.append(stage(features[-1], skip))
        finest = self.sides[-1](features[-1])
        refined: Tensor = self.refinement(picture, finest, features[-1])
        if not self.training:
            return refined
        earlier = [side(map_) for side, map_ in zip(self.sides[:-1], features[:-1], strict=True)]
        return [refined, finest, *reversed(earlier)]
