"""Other sizes and other places: what a contract asks for beyond a crop. Here, alone, pixels are resampled."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.crop import Box, crop
from postprocess.types import RGB, Alpha


def fitted(size: tuple[int, int], megapixels: float) -> tuple[int, int]:
    """The largest (width, height) of the same shape with at most so many million pixels; never larger."""
    width, height = size
    factor = (megapixels * 1e6 / (width * height)) ** 0.5
    return size if factor >= 1 else (max(1, int(width * factor)), max(1, int(height * factor)))


def resample(rgb: RGB, alpha: Alpha | None, size: tuple[int, int]) -> tuple[RGB, Alpha | None]:
    """Picture and matte at `size` (width, height) px; each pixel's colour counts as far as it shows."""
    if alpha is None:
        return np.asarray(_resized(rgb, size), np.uint8), None
    # Beyond 0 and 1 at edges that are enlarged, as are the colours that it weighs.
    share = _resized(alpha, size)
    weighted = _resized(rgb.astype(np.float32) * alpha[..., None], size)
    shown = np.clip(weighted / np.maximum(share, np.float32(1e-3))[..., None], 0, 255)
    return np.rint(shown).astype(np.uint8), np.asarray(np.clip(share, 0, 1), np.float32)


def place(
    rgb: RGB, alpha: Alpha, box: Box, scale: float | None, position: tuple[float, float] | None
) -> tuple[RGB, Alpha]:
    """The subject in `box` moved on a canvas of the same size: (H, W, 3), and (H, W) that is 0 elsewhere.

    scale: its larger share of the canvas' sides, in (0, 1]; None: its pixels stay as they are.
    position: shares of the free space that go to its left and above it; None: the shares that it had.
    """
    height, width = alpha.shape
    subject, matte = crop(rgb, box), crop(alpha, box)
    if scale is not None:
        factor = scale * min(width / box.width, height / box.height)
        size = (max(1, round(box.width * factor)), max(1, round(box.height * factor)))
        subject, resized = resample(subject, matte, size)
        matte = matte if resized is None else resized
    across, down = position or (_share(box.left, width - box.width), _share(box.top, height - box.height))
    left, top = round(across * (width - matte.shape[1])), round(down * (height - matte.shape[0]))
    there = np.s_[top : top + matte.shape[0], left : left + matte.shape[1]]
    colours, shown = np.zeros_like(rgb), np.zeros_like(alpha)
    colours[there], shown[there] = subject, matte
    return colours, shown


def _share(before: int, free: int) -> float:
    return before / free if free else 0.5


def _resized(pixels: RGB | Alpha, size: tuple[int, int]) -> NDArray[Any]:
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method))
