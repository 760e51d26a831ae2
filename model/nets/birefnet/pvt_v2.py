"""Pyramid Vision Transformer v2 (Wang et al., 2022) as a feature encoder.

Its patches overlap, and the keys and values of its attention are spatially reduced.

Tokens keep their grid, (B, H, W, C), throughout. Parameter names are those of the published weights.
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.birefnet.transformer import StochasticDepth, initialise, rising_rates

_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_NORM_EPSILON = 1e-6  # of the blocks and stages; embedding and attention keep torch's 1e-5


class SpatialReductionAttention(nn.Module):
    """Self-attention with keys and values on a grid coarser by `reduction`. (B, H, W, C) -> the same."""

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, stride=reduction)
            self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, _, dim = x.shape
        coarse = x
        if self.reduction > 1:
            coarse = self.norm(self.sr(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        q = self.q(x).view(batch, -1, self.heads, dim // self.heads).transpose(1, 2)
        kv = self.kv(coarse).view(batch, -1, 2, self.heads, dim // self.heads)
        k, v = kv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v)
        mixed: Tensor = self.proj(attended.transpose(1, 2).reshape(x.shape))
        return mixed


class DepthwiseConv(nn.Module):
    """3x3 depthwise convolution; its zero padding tells tokens where they are. (B, H, W, C) -> the same."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        convolved: Tensor = self.dwconv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return convolved


class ConvolutionalMlp(nn.Module):
    """Linear, depthwise convolution, GELU, linear."""

    def __init__(self, dim: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, ratio * dim)
        self.dwconv = DepthwiseConv(ratio * dim)
        self.fc2 = nn.Linear(ratio * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.fc2(F.gelu(self.dwconv(self.fc1(x))))
        return mixed


class PVTBlock(nn.Module):
    """Pre-norm transformer block. (B, H, W, C) -> the same."""

    def __init__(self, dim: int, heads: int, reduction: int, mlp_ratio: int, drop_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=_NORM_EPSILON)
        self.attn = SpatialReductionAttention(dim, heads, reduction)
        self.norm2 = nn.LayerNorm(dim, eps=_NORM_EPSILON)
        self.mlp = ConvolutionalMlp(dim, mlp_ratio)
        self.drop = StochasticDepth(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        attended = x + self.drop(self.attn(self.norm1(x)))
        mixed: Tensor = attended + self.drop(self.mlp(self.norm2(attended)))
        return mixed


class OverlappingPatchEmbed(nn.Module):
    """Overlapping patches to tokens. (B, C_in, H, W) -> (B, H/stride, W/stride, C), sides rounded up."""

    def __init__(self, channels_in: int, dim: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels_in, dim, kernel, stride=stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return tokens


class PVTv2(nn.Module):
    """The encoder. (B, 3, H, W) -> four maps at strides 4, 8, 16 and 32.

    Args:
        channels: of each map.
        depths: blocks of each stage.
        mlp_ratios: inner width of each stage's MLP, in multiples of its channels.
        drop_rate: highest rate of stochastic depth, in training.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        depths: tuple[int, ...],
        mlp_ratios: tuple[int, ...] = (8, 8, 4, 4),
        drop_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.channels = channels
        rates = rising_rates(drop_rate, depths)
        channels_in = 3
        for i, dim in enumerate(channels):
            kernel, stride = (7, 4) if i == 0 else (3, 2)
            blocks = (PVTBlock(dim, _HEADS[i], _REDUCTIONS[i], mlp_ratios[i], rate) for rate in rates[i])
            self.add_module(f"patch_embed{i + 1}", OverlappingPatchEmbed(channels_in, dim, kernel, stride))
            self.add_module(f"block{i + 1}", nn.ModuleList(blocks))
            self.add_module(f"norm{i + 1}", nn.LayerNorm(dim, eps=_NORM_EPSILON))
            channels_in = dim
        initialise(self)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps are (B, C, H, W), channels last in memory."""
        maps = []
        for i in range(1, len(self.channels) + 1):
            x = self.get_submodule(f"patch_embed{i}")(x)
            for block in self.get_submodule(f"block{i}").children():
                x = block(x)
            x = self.get_submodule(f"norm{i}")(x).permute(0, 3, 1, 2)
            maps.append(x)
        return maps


def pvt_v2_b0() -> PVTv2:
    """PVTv2-B0."""
    return PVTv2((32, 64, 160, 256), (2, 2, 2, 2))


def pvt_v2_b1() -> PVTv2:
    """PVTv2-B1."""
    return PVTv2((64, 128, 320, 512), (2, 2, 2, 2))


def pvt_v2_b2() -> PVTv2:
    """PVTv2-B2."""
    return PVTv2((64, 128, 320, 512), (3, 4, 6, 3))


def pvt_v2_b5() -> PVTv2:
    """PVTv2-B5."""
    return PVTv2((64, 128, 320, 512), (3, 6, 40, 3), mlp_ratios=(4, 4, 4, 4))
