"""What a modulated deformable convolution is, in loops over float64 numbers, and arguments to try it with."""

import itertools
import math

import numpy as np
import torch
from torch import Tensor


def arguments(
    batch: int, channels: int, size: tuple[int, int], outputs: int, kernel: int, padding: int, reach: float
) -> dict[str, Tensor]:
    """Random float64 arguments but for the padding; offsets are normal with a deviation of `reach` px."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    taps, grown = kernel * kernel, 2 * padding - kernel + 1
    out = (size[0] + grown, size[1] + grown)
    return {
        "x": normal(batch, channels, *size),
        "offset": normal(batch, 2 * taps, *out) * reach,
        "modulation": normal(batch, taps, *out).sigmoid() * 2,
        "weight": normal(outputs, channels, kernel, kernel),
        "bias": normal(outputs),
    }


def _pixel(x: np.ndarray, y: int, column: int) -> np.ndarray:
    """The channels at one place of (C, H, W), zero outside."""
    inside = 0 <= y < x.shape[1] and 0 <= column < x.shape[2]
    return np.asarray(x[:, y, column]) if inside else np.zeros(len(x))


def _sample(x: np.ndarray, y: float, column: float) -> np.ndarray:
    top, left = math.floor(y), math.floor(column)
    total = np.zeros(len(x))
    for dy, dx in itertools.product((0, 1), repeat=2):
        share = (1 - abs(y - top - dy)) * (1 - abs(column - left - dx))
        total += share * _pixel(x, top + dy, left + dx)
    return total


def definition(tensors: dict[str, Tensor], padding: int) -> np.ndarray:
    """Equation 1 of Deformable ConvNets v2, one tap at a time, (B, O, H', W') float64."""
    x, offset, modulation, weight, bias = (tensor.numpy() for tensor in tensors.values())
    kernel = weight.shape[-1]
    result = np.empty((len(x), len(weight), *offset.shape[2:]))
    for n, y, column in np.ndindex(len(x), *offset.shape[2:]):
        total = bias.copy()
        for tap, (i, j) in enumerate(np.ndindex(kernel, kernel)):
            at_y = y - padding + i + offset[n, 2 * tap, y, column]
            at_x = column - padding + j + offset[n, 2 * tap + 1, y, column]
            total += weight[:, :, i, j] @ _sample(x[n], at_y, at_x) * modulation[n, tap, y, column]
        result[n, :, y, column] = total
    return result
