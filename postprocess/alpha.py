"""The matte at the network's resolution: clean it up, sharpen it, enlarge it.

edges.refine enlarges along the picture's own edges; `enlarge` knows the matte alone.
"""

import math
from collections.abc import Iterable
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.edges import levels
from postprocess.types import Alpha

Operation = Literal["open", "close", "erode", "dilate", "keep_largest", "fill_holes"]

_GREY: dict[str, tuple[int, ...]] = {
    "open": (cv2.MORPH_ERODE, cv2.MORPH_DILATE),
    "close": (cv2.MORPH_DILATE, cv2.MORPH_ERODE),
    "erode": (cv2.MORPH_ERODE,),
    "dilate": (cv2.MORPH_DILATE,),
}
_LARGEST_DISC = 8
"""Radius, px: what a larger disc does several of these do in turn, at a small part of the time."""


def clean(matte: Alpha, operations: Iterable[Operation], radius: int) -> Alpha:
    """The matte, (h, w) in [0, 1], after grey-scale morphology in the order given: soft stays soft.

    radius: of the disc of open, close, erode and dilate, px of the matte.
    Raises ValueError: an unknown operation.
    """
    for operation in operations:
        if operation == "keep_largest":
            matte = _keep_largest(matte)
        elif operation == "fill_holes":
            matte = _fill_holes(matte)
        elif operation in _GREY:
            for step in _GREY[operation]:
                for disc in _discs(radius):
                    matte = np.asarray(cv2.morphologyEx(matte, step, disc), np.float32)
        else:
            raise ValueError(f"unknown operation: {operation}")
    return matte


def _discs(radius: int) -> list[NDArray[np.uint8]]:
    """Discs whose radii add up to the radius."""
    count = math.ceil(radius / _LARGEST_DISC)
    radii = [(radius + part) // count for part in range(count)]
    return [
        np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * each + 1, 2 * each + 1)), np.uint8)
        for each in radii
    ]


def _keep_largest(matte: Alpha) -> Alpha:
    """Keeps the part with the most alpha, with its soft edge: of what is over one half, the largest piece,
    and of what is not, all that lies nearer to it than to the other pieces."""
    count, labels = cv2.connectedComponents((matte >= 0.5).view(np.uint8))
    if count <= 2:  # the background and at most one piece
        return matte
    weight = np.bincount(labels.ravel(), matte.ravel())
    largest = 1 + int(weight[1:].argmax())
    to_largest = _distance(labels == largest)
    to_others = _distance((labels != largest) & (labels != 0))
    return np.where(to_largest <= to_others, matte, np.float32(0))


def _distance(piece: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance to the nearest pixel of `piece`, px."""
    return np.asarray(cv2.distanceTransform((~piece).view(np.uint8), cv2.DIST_L2, 5), np.float32)


def _fill_holes(matte: Alpha) -> Alpha:
    """Fills every basin that no path to the border leaves without climbing (reconstruction by erosion).

    Each pixel rises to the lowest pass between it and the border, so that a soft rim stays soft on its
    outside. In 64 levels, each one a flood from the border.
    """
    filled = matte.copy()
    for level in np.linspace(1 / 64, 1, 64, dtype=np.float32):
        below = np.pad((matte < level).view(np.uint8), 1, constant_values=1)
        # 4-connected flood: a closed 8-connected rim holds.
        _, labels = cv2.connectedComponents(below, connectivity=4)
        enclosed = (labels != labels[0, 0])[1:-1, 1:-1]
        if not enclosed.any():
            break
        np.maximum(filled, level, out=filled, where=enclosed)
    return filled


def sharpen(matte: Alpha, sigma: float, amount: float) -> Alpha:
    """Unsharp mask and morphology, as section 5.2 of the BASNet paper (Qin et al. 2021) has them.

    matte + amount * (matte - blurred by sigma px), clipped to [0, 1], then opened and closed by 3x3,
    which takes away the specks and pinholes that sharpening brings out.
    """
    blurred = np.asarray(cv2.GaussianBlur(matte, (0, 0), sigma), np.float32)
    sharp = np.clip(matte + np.float32(amount) * (matte - blurred), 0, 1)
    return clean(sharp.astype(np.float32, copy=False), ("open", "close"), 1)


def enlarge(matte: Alpha, size: tuple[int, int]) -> Alpha:
    """The matte at `size` (width, height) px: cubic, with the levels of edges.refine."""
    return levels(np.asarray(cv2.resize(matte, size, interpolation=cv2.INTER_CUBIC), np.float32))


def with_source(alpha: Alpha, source: Alpha | None) -> Alpha:
    """The matte times the source's own transparency, both (H, W); None: it had none."""
    return alpha if source is None else alpha * source


def quantise(alpha: Alpha) -> NDArray[np.uint8]:
    """(H, W) float32 in [0, 1] -> (H, W) uint8, rounded."""
    return np.asarray(cv2.convertScaleAbs(alpha, alpha=255), np.uint8)
