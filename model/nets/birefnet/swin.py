"""Swin Transformer (Liu et al., ICCV 2021) as a feature encoder: hierarchical, attention in shifted windows.

Tokens keep their grid, (B, H, W, C), throughout. Parameter names are those of the published weights.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.nets.birefnet.transformer import StochasticDepth, initialise, rising_rates

_MASKED = -100.0
"""Added to the attention scores of tokens that only the cyclic shift made neighbours (the authors' value)."""


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, with a relative position bias B (equation 4).

        Attention(Q, K, V) = softmax(Q K^T / sqrt(d) + B) V

    forward: windows (B, rows, columns, N, C) with N = window**2 -> the same. Where `shift` is not 0, the
    windows are those of a grid that was rolled by it: the last row and the last column of windows then hold
    tokens from opposite edges of the picture, which must not see each other.
    """

    relative_position_index: Tensor
    shift_mask: Tensor | None

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("relative_position_index", _relative_positions(window))
        self.register_buffer("shift_mask", _shift_mask(window, shift) if shift else None, persistent=False)
        self._kept: tuple[object, Tensor] | None = None
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, windows: Tensor) -> Tensor:
        batch, rows, columns, tokens, dim = windows.shape
        qkv = self.qkv(windows).view(batch, rows * columns, tokens, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)  # (B, windows, heads, N, dim of a head)
        bias = self._bias().to(q.dtype)
        if self.shift_mask is None:  # one bias for every window: windows join the batch
            q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        else:  # one for each window: windows join the heads, so that it need not be repeated over the batch
            q, k, v = (x.flatten(1, 2) for x in (q, k, v))
            bias = _of_each_window(bias, rows, columns)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0))
        attended = attended.view(batch, rows, columns, self.heads, tokens, dim // self.heads)
        mixed: Tensor = self.proj(attended.transpose(3, 4).flatten(4))
        return mixed

    def _bias(self) -> Tensor:
        """What is added to the scores; in inference it is computed once for each state of the parameters."""
        table = self.relative_position_bias_table
        if torch.is_grad_enabled() or torch.compiler.is_compiling() or table.is_inference():
            return self._computed_bias()
        state = (table.data_ptr(), table._version, table.dtype, table.device)
        if self._kept is None or self._kept[0] != state:
            self._kept = (state, self._computed_bias())
        return self._kept[1]

    def _computed_bias(self) -> Tensor:
        """(heads, N, N): B, read from the table of one value for each head and relative position.

        Where windows are shifted (4, heads, N, N): B with each of the masks.
        """
        index = self.relative_position_index
        bias = self.relative_position_bias_table.t()[:, index.flatten()].view(self.heads, *index.shape)
        return bias if self.shift_mask is None else bias + self.shift_mask.unsqueeze(1).to(bias.dtype)


def _relative_positions(window: int) -> Tensor:
    """(N, N) int64: the row of the bias table for each pair of tokens of a window."""
    axis = torch.arange(window)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    dy = y.reshape(-1, 1) - y.reshape(1, -1) + window - 1
    dx = x.reshape(-1, 1) - x.reshape(1, -1) + window - 1
    return dy * (2 * window - 1) + dx


def _shift_mask(window: int, shift: int) -> Tensor:
    """(4, N, N): what to add to the scores in a window that is in neither the last row nor the last column of
    windows, in the last column, in the last row, in both.

    A constant, so it has a value even where parameters are built without one, on the meta device.
    """
    wrapped = torch.arange(window, device="cpu") >= window - shift
    masks = []
    for last_row, last_column in itertools.product((False, True), repeat=2):
        region = 2 * (wrapped & last_row).view(-1, 1) + (wrapped & last_column).view(1, -1)
        masks.append((region.view(-1, 1) != region.view(1, -1)) * _MASKED)
    return torch.stack(masks)


def _of_each_window(masks: Tensor, rows: int, columns: int) -> Tensor:
    """(4, heads, N, N), in the order of _shift_mask, to (rows * columns * heads, N, N)."""
    last_row = torch.arange(rows, device=masks.device) == rows - 1
    last_column = torch.arange(columns, device=masks.device) == columns - 1
    return masks[2 * last_row.view(-1, 1) + last_column.view(1, -1)].flatten(0, 2)


class SwinMlp(nn.Module):
    """Two linear layers with a GELU between them, four times as wide inside."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return mixed


class SwinBlock(nn.Module):
    """z' = W-MSA(LN(z)) + z; z = MLP(LN(z')) + z' (equation 3). (B, H, W, C) -> the same."""

    def __init__(self, dim: int, heads: int, window: int, shift: int, drop_rate: float) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = SwinMlp(dim)
        self.drop = StochasticDepth(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        attended = x + self.drop(self._attend(self.norm1(x)))
        mixed: Tensor = attended + self.drop(self.mlp(self.norm2(attended)))
        return mixed

    def _attend(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        side = self.window
        rows, columns = -(-height // side), -(-width // side)
        # Padding comes after the norm and is seen by attention as zeros, as in the authors' networks.
        x = F.pad(x, (0, 0, 0, columns * side - width, 0, rows * side - height))
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(1, 2))
        windows = x.view(batch, rows, side, columns, side, dim).transpose(2, 3).flatten(3, 4)
        windows = self.attn(windows).view(batch, rows, columns, side, side, dim)
        x = windows.transpose(2, 3).reshape(batch, rows * side, columns * side, dim)
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(1, 2))
        return x[:, :height, :width]


class PatchMerging(nn.Module):
    """Halves the grid: each 2x2 tokens are concatenated and projected. (B, H, W, C) -> (B, H/2, W/2, 2C).

    Odd sides are padded with zeros, so they round up.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        height, width = -(-height // 2), -(-width // 2)
        # The published weights expect the four in the order (0, 0), (1, 0), (0, 1), (1, 1) of (y, x).
        x = x.view(batch, height, 2, width, 2, dim).permute(0, 1, 3, 4, 2, 5).flatten(3)
        merged: Tensor = self.reduction(self.norm(x))
        return merged


class SwinStage(nn.Module):
    """Blocks with regular and shifted windows in turn; PatchMerging at the end, but for the last stage."""

    def __init__(self, dim: int, heads: int, window: int, drop_rates: list[float], merge: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(dim, heads, window, shift=window // 2 if block % 2 else 0, drop_rate=rate)
            for block, rate in enumerate(drop_rates)
        )
        self.downsample = PatchMerging(dim) if merge else None


class SwinPatchEmbed(nn.Module):
    """4x4 patches to tokens. (B, 3, H, W) -> (B, H/4, W/4, C)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 4, stride=4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return tokens


class Swin(nn.Module):
    """The encoder. (B, 3, H, W), sides multiples of 4 -> four maps at strides 4, 8, 16 and 32.

    Args:
        dim: channels of the first map; each further one has twice as many.
        depths: blocks of each stage.
        heads: attention heads of each stage.
        window: side of a window, in tokens.
        drop_rate: highest rate of stochastic depth, in training.
    """

    def __init__(
        self, dim: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int, drop_rate: float = 0.2
    ) -> None:
        super().__init__()
        self.channels = tuple(dim << stage for stage in range(len(depths)))
        self.patch_embed = SwinPatchEmbed(dim)
        rates = rising_rates(drop_rate, depths)
        self.layers = nn.ModuleList(
            SwinStage(self.channels[i], heads[i], window, rates[i], merge=i < len(depths) - 1)
            for i in range(len(depths))
        )
        for i, channels in enumerate(self.channels):
            self.add_module(f"norm{i}", nn.LayerNorm(channels))
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The maps are (B, C, H, W), channels last in memory."""
        x = self.patch_embed(x)
        maps = []
        for i, stage in enumerate(self.layers):
            for block in stage.get_submodule("blocks").children():
                x = block(x)
            maps.append(self.get_submodule(f"norm{i}")(x).permute(0, 3, 1, 2))
            if i < len(self.layers) - 1:
                x = stage.get_submodule("downsample")(x)
        return maps


def swin_v1_t() -> Swin:
    """Swin-T."""
    return Swin(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7)


def swin_v1_s() -> Swin:
    """Swin-S."""
    return Swin(96, (2, 2, 18, 2), (3, 6, 12, 24), window=7)


def swin_v1_b() -> Swin:
    """Swin-B, pretrained at 384 px: windows of 12."""
    return Swin(128, (2, 2, 18, 2), (4, 8, 16, 32), window=12)


def swin_v1_l() -> Swin:
    """Swin-L, pretrained at 384 px: windows of 12."""
    return Swin(192, (2, 2, 18, 2), (6, 12, 24, 48), window=12)
