"""Modulated deformable convolution in plain torch: differentiable, and the quickest there is on CPUs.

A bilinear sample is a weighted sum of four pixels, that is, of four rows of a (pixels, channels) table: what
`embedding_bag` computes, with the modulation folded into the weights for free. A matrix product over taps and
channels does the rest. On CPUs this costs little more than the product, a half of what sampling with
`grid_sample` does, and going through the output in slabs keeps the samples in the cache: the largest layer of
BiRefNet at 1024 px would otherwise hold 822 MB of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["deform_conv2d"]

_SLAB_BYTES_CPU = 8 << 20
_SLAB_BYTES = 512 << 20
"""Samples computed at a time: on CPUs what caches hold; elsewhere, and for autograd, few and large slabs."""


def deform_conv2d(
    x: Tensor, offset: Tensor, modulation: Tensor, weight: Tensor, bias: Tensor | None, padding: int
) -> Tensor:
    """`model.nets.birefnet.deform.deform_conv2d`, its arguments known to fit together."""
    batch, channels, height, width = x.shape
    outputs, _, kernel_height, kernel_width = weight.shape
    taps = kernel_height * kernel_width
    out_height, out_width = offset.shape[-2:]

    # From here on a "line" is one row of one picture's output: lines are independent, (B * H') of them.
    # Strided tables would send embedding_bag down its slow path, thirty times slower: hence contiguous().
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
    offset = offset.permute(0, 2, 3, 1).reshape(batch * out_height, out_width, taps, 2)
    modulation = modulation.permute(0, 2, 3, 1).reshape(batch * out_height, out_width, taps)
    matrix = weight.permute(0, 2, 3, 1).reshape(outputs, taps * channels)
    lines = torch.arange(batch * out_height, device=x.device)

    size = _slab_lines(x, out_width * taps * channels)
    slabs = []
    split = (torch.split(offset, size), torch.split(modulation, size), torch.split(lines, size))
    for slab in zip(*split, strict=True):
        corners, weights = _bilinear_corners(*slab, (out_height, height, width), (kernel_width, padding))
        samples = F.embedding_bag(corners, pixels, mode="sum", per_sample_weights=weights.to(pixels.dtype))
        slabs.append(F.linear(samples.view(-1, taps * channels), matrix, bias))
    return torch.cat(slabs).view(batch, out_height, out_width, outputs).permute(0, 3, 1, 2)


def _slab_lines(x: Tensor, samples_per_line: int) -> int:
    """How many output lines to compute at a time."""
    small = x.device.type == "cpu" and not torch.is_grad_enabled()
    budget = _SLAB_BYTES_CPU if small else _SLAB_BYTES
    return max(1, budget // (samples_per_line * x.element_size()))


def _bilinear_corners(
    offset: Tensor,
    modulation: Tensor,
    lines: Tensor,
    heights: tuple[int, int, int],
    kernel: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """The four pixels around each sample, and their weights; pixels outside the picture weigh nothing.

    Args:
        offset: (L, W', K, 2) px. modulation: (L, W', K). lines: (L,) numbers of the output lines.
        heights: output lines per picture, picture height, picture width. kernel: its width, the padding.

    Returns:
        Rows of the table of pixels, (L * W' * K, 4) int64, and their weights, of the same shape.
    """
    out_height, height, width = heights
    kernel_width, padding = kernel
    exact = torch.promote_types(offset.dtype, torch.float32)
    tap = torch.arange(offset.shape[2], device=offset.device)
    across = torch.arange(offset.shape[1], device=offset.device)
    tap_y = (lines % out_height).view(-1, 1, 1) + (tap // kernel_width - padding)
    tap_x = across.view(-1, 1) + (tap % kernel_width - padding)

    top, y_weights = _neighbours(offset[..., 0].to(exact) + tap_y, height)
    left, x_weights = _neighbours(offset[..., 1].to(exact) + tap_x, width)
    first_row = (lines // out_height * height).view(-1, 1, 1)
    corners, weights = [], []
    for y, y_weight in zip(top, y_weights, strict=True):
        row = (first_row + y) * width
        modulated = y_weight * modulation
        for column, x_weight in zip(left, x_weights, strict=True):
            corners.append(row + column)
            weights.append(modulated * x_weight)
    return torch.stack(corners, -1).view(-1, 4), torch.stack(weights, -1).view(-1, 4)


def _neighbours(position: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two pixels on either side of each position on an axis of `size` px, clamped, and their weights."""
    before = position.floor()
    fraction = position - before
    low = before.long()
    high = low + 1
    weights = (
        (1 - fraction) * ((low >= 0) & (low < size)),
        fraction * ((high >= 0) & (high < size)),
    )
    return (low.clamp(0, size - 1), high.clamp(0, size - 1)), weights
