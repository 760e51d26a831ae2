"""Modulated deformable convolution as one Triton kernel, for GPUs; imported only where Triton is wanted.

    y(p, o) = bias(o) + sum over the taps k and the channels c of  w(k, c, o) . x(p + p_k + dp_k, c) . dm_k

A program computes a block of places by a block of outputs. For each tap in turn it reads the four pixels
around each sample, whose channels lie side by side in memory, weighs them, and multiplies the block of
samples with the tap's block of weights on the tensor cores. Samples never leave the chip: the largest layer
of BiRefNet at 1024 px would otherwise write and read 411 MB of them in half precision. Places and sums are
float32.
"""

# Triton's language has no types, and upper case for what the compiler must know is its custom.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: N803, N806

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["VARIANTS", "Tiling", "deform_conv2d"]


@triton.jit
def _neighbours(position, size):
    """The pixels before and after each position on an axis, clamped into it, and their weights; 0 outside.

    A position that is no number weighs NaN. It is clamped before it becomes an integer: what the conversion
    of others gives is nobody's promise.
    """
    before = tl.floor(position)
    fraction = position - before
    low = tl.minimum(tl.maximum(before, -2.0), size + 1.0).to(tl.int32)
    high = low + 1
    low_weight = (1 - fraction) * ((low >= 0) & (low < size)).to(tl.float32)
    high_weight = fraction * ((high >= 0) & (high < size)).to(tl.float32)
    low = tl.minimum(tl.maximum(low, 0), size - 1)
    high = tl.minimum(tl.maximum(high, 0), size - 1)
    return low, high, low_weight, high_weight


@triton.jit
def _corner(x, row, weight, channel, known, CHANNELS: tl.constexpr):
    """(places, channels) float32: the pixels of those rows, each times its weight."""
    pixels = tl.load(x + row[:, None] * CHANNELS + channel[None, :], mask=known[None, :], other=0.0)
    return pixels.to(tl.float32) * weight[:, None]


@triton.jit(
    do_not_specialize=["taps", "kernel_width", "padding", "out_height", "out_width", "height", "width"]
)
def _kernel(
    x,  # (B * H * W, C)
    offset,  # (B * H' * W', 2K)
    modulation,  # (B * H' * W', K)
    weight,  # (K * C, O)
    bias,  # (O,), or anything without HAS_BIAS
    y,  # (B * H' * W', O)
    places,
    out_height,
    out_width,
    height,
    width,
    taps,
    kernel_width,
    padding,
    CHANNELS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    BLOCK_PLACES: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    place = tl.program_id(0) * BLOCK_PLACES + tl.arange(0, BLOCK_PLACES)
    output = tl.program_id(1) * BLOCK_OUTPUTS + tl.arange(0, BLOCK_OUTPUTS)
    there, wanted = place < places, output < OUTPUTS
    result = y + place[:, None] * OUTPUTS + output[None, :]
    place = tl.minimum(place, places - 1)  # programs at the end compute the last place again, and drop it
    line = place // out_width
    out_x, out_y = place % out_width, line % out_height
    first_row = line // out_height * height

    total = tl.zeros((BLOCK_PLACES, BLOCK_OUTPUTS), dtype=tl.float32)
    CHANNEL_BLOCKS: tl.constexpr = (CHANNELS + BLOCK_CHANNELS - 1) // BLOCK_CHANNELS
    for step in range(taps * CHANNEL_BLOCKS):  # one loop, so that loads of the next tap overlap
        tap = step // CHANNEL_BLOCKS
        channel = step % CHANNEL_BLOCKS * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)
        known = channel < CHANNELS
        sample = place * taps + tap
        dy = tl.load(offset + 2 * sample).to(tl.float32)
        dx = tl.load(offset + 2 * sample + 1).to(tl.float32)
        factor = tl.load(modulation + sample).to(tl.float32)
        top, bottom, upper, lower = _neighbours(dy + (out_y + tap // kernel_width - padding), height)
        left, right, before, after = _neighbours(dx + (out_x + tap % kernel_width - padding), width)
        upper, lower = upper * factor, lower * factor
        top, bottom = (first_row + top) * width, (first_row + bottom) * width
        samples = _corner(x, top + left, upper * before, channel, known, CHANNELS)
        samples += _corner(x, top + right, upper * after, channel, known, CHANNELS)
        samples += _corner(x, bottom + left, lower * before, channel, known, CHANNELS)
        samples += _corner(x, bottom + right, lower * after, channel, known, CHANNELS)
        matrix = tl.load(
            weight + (tap * CHANNELS + channel)[:, None] * OUTPUTS + output[None, :],
            mask=known[:, None] & wanted[None, :],
            other=0.0,
        )
        total = tl.dot(samples.to(matrix.dtype), matrix, total, input_precision="ieee")
    if HAS_BIAS:
        total += tl.load(bias + output, mask=wanted, other=0.0).to(tl.float32)[None, :]
    tl.store(result, total.to(y.dtype.element_ty), mask=there[:, None] & wanted[None, :])


@dataclasses.dataclass(frozen=True, slots=True)
class Tiling:
    """How much one program computes, with how many warps and how many stages of loads under way."""

    places: int
    outputs: int
    warps: int
    stages: int


_TILINGS = {
    "wide": Tiling(places=64, outputs=256, warps=8, stages=2),  # each sample is taken once for all outputs
    "direct": Tiling(places=64, outputs=256, warps=8, stages=1),  # the same without a detour by shared memory
    "tall": Tiling(places=128, outputs=128, warps=8, stages=2),
    "small": Tiling(places=64, outputs=64, warps=4, stages=3),  # for float32 and for small maps
}
_BLOCK_CHANNELS = 64
_SMALLEST_BLOCK = 16  # of a side in tl.dot


def deform_conv2d(
    x: Tensor,
    offset: Tensor,
    modulation: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: int,
    *,
    tiling: Tiling,
) -> Tensor:
    """`model.nets.birefnet.deform.deform_conv2d` without gradients; arguments, layout and result as there.

    x, weight and bias are of one dtype: float16, bfloat16 or float32. The kernel counts in int32: no tensor
    may have 2**31 elements.

    Raises:
        ValueError: another dtype.
    """
    batch, channels, height, width = x.shape
    outputs, _, kernel_height, kernel_width = weight.shape
    taps = kernel_height * kernel_width
    out_height, out_width = offset.shape[-2:]
    places = batch * out_height * out_width
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise ValueError(f"the kernel knows no {x.dtype}")
    y = x.new_empty(places, outputs)
    block_channels, block_outputs = (
        min(most, max(_SMALLEST_BLOCK, triton.next_power_of_2(count)))
        for count, most in ((channels, _BLOCK_CHANNELS), (outputs, tiling.outputs))
    )
    grid = (triton.cdiv(places, tiling.places), triton.cdiv(outputs, block_outputs))
    _kernel[grid](
        x.permute(0, 2, 3, 1).contiguous(),
        offset.permute(0, 2, 3, 1).contiguous(),
        modulation.permute(0, 2, 3, 1).contiguous(),
        weight.permute(2, 3, 1, 0).contiguous(),
        y if bias is None else bias,
        y,
        places,
        out_height,
        out_width,
        height,
        width,
        taps,
        kernel_width,
        padding,
        CHANNELS=channels,
        OUTPUTS=outputs,
        HAS_BIAS=bias is not None,
        BLOCK_PLACES=tiling.places,
        BLOCK_OUTPUTS=block_outputs,
        BLOCK_CHANNELS=block_channels,
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )
    return y.view(batch, out_height, out_width, outputs).permute(0, 3, 1, 2)


VARIANTS: Mapping[str, Callable[[Tensor, Tensor, Tensor, Tensor, Tensor | None, int], Tensor]] = {
    name: partial(deform_conv2d, tiling=tiling) for name, tiling in _TILINGS.items()
}
"""The kernel in several tilings: which one is the quickest depends on the GPU and on the sizes."""
