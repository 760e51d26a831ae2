"""Where the subject is, and cutting to it. Cropping slices; it never resamples."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from postprocess.types import Alpha

Pixel = TypeVar("Pixel", bound=np.generic)

_VISIBLE = 10.5 / 255
"""8-bit alpha over 10. Below, a speck that nobody sees would keep the crop at full size."""


class Box(NamedTuple):
    """A rectangle of the picture, px."""

    left: int
    top: int
    width: int
    height: int


def bounding_box(alpha: Alpha, threshold: float = _VISIBLE) -> Box | None:
    """The smallest box that holds every alpha over `threshold`; None: there is none."""
    rows = np.flatnonzero(alpha.max(axis=1) > threshold)
    if not rows.size:
        return None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(alpha[top:bottom].max(axis=0) > threshold)
    left, right = int(columns[0]), int(columns[-1]) + 1
    return Box(left, top, right - left, bottom - top)


def with_margin(box: Box, margin: int, size: tuple[int, int]) -> Box:
    """The box grown by `margin` px on each side, as far as the picture of `size` (width, height) goes."""
    left, top = max(0, box.left - margin), max(0, box.top - margin)
    right = min(size[0], box.left + box.width + margin)
    bottom = min(size[1], box.top + box.height + margin)
    return Box(left, top, right - left, bottom - top)


def crop(pixels: NDArray[Pixel], box: Box) -> NDArray[Pixel]:
    """The pixels in the box, (box.height, box.width, ...), contiguous."""
    inside = pixels[box.top : box.top + box.height, box.left : box.left + box.width]
    return np.ascontiguousarray(inside)
