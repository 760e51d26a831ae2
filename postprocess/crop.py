"""Where the subject is, and cutting to it. Cropping slices; it never resamples."""

import math
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from postprocess.lengths import Margins, parse_lengths
from postprocess.types import Alpha

Pixel = TypeVar("Pixel", bound=np.generic)

_VISIBLE = 10.5 / 255
"""8-bit alpha over 10. Below, a speck that nobody sees would keep the crop at full size."""


class Box(NamedTuple):
    """A rectangle of the picture, px; a margin may lead it beyond the picture."""

    left: int
    top: int
    width: int
    height: int

    def seen_from(self, other: "Box") -> "Box":
        """The same rectangle, with the other's corner for the origin."""
        return self._replace(left=self.left - other.left, top=self.top - other.top)


class BeyondPicture(ValueError):
    """A region that reaches over the picture's edge."""


class NoArea(ValueError):
    """A region without a pixel."""


def parse_region(text: str, size: tuple[int, int]) -> Box:
    """`x1 y1 x2 y2`, each in px or %, in a picture of `size` (width, height).

    Raises ValueError; BeyondPicture and NoArea are what depends on the picture.
    """
    x1, y1, x2, y2 = (each.of(size[i % 2]) for i, each in enumerate(parse_lengths(text, (4,))))
    if max(x1, x2) > size[0] or max(y1, y2) > size[1]:
        raise BeyondPicture(f"reaches beyond the picture of {size[0]} x {size[1]} px")
    if x2 <= x1 or y2 <= y1:
        raise NoArea("holds no pixel")
    return Box(x1, y1, x2 - x1, y2 - y1)


def rescaled(box: Box, size: tuple[int, int], other: tuple[int, int]) -> Box:
    """The same part, at least 1 px, of the same picture at another size; both (width, height)."""
    across, down = other[0] / size[0], other[1] / size[1]
    left, top = min(round(box.left * across), other[0] - 1), min(round(box.top * down), other[1] - 1)
    right, bottom = round((box.left + box.width) * across), round((box.top + box.height) * down)
    return Box(left, top, max(1, right - left), max(1, bottom - top))


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


def around(box: Box, margins: Margins) -> Box:
    """The box grown by margins, px or shares of its own sides; it may reach beyond the picture."""
    top, bottom = margins.top.of(box.height), margins.bottom.of(box.height)
    left, right = margins.left.of(box.width), margins.right.of(box.width)
    return Box(box.left - left, box.top - top, left + box.width + right, top + box.height + bottom)


def bounded(box: Box, window: Box, pixels: int) -> Box:
    """The window around a box, its margins smaller in proportion where it has more than so many pixels."""
    if window.width * window.height <= pixels:
        return window
    # (width + share * wider) * (height + share * higher) = pixels
    wider, higher = window.width - box.width, window.height - box.height
    linear, room = box.width * higher + box.height * wider, max(0, pixels - box.width * box.height)
    share = 2 * room / (linear + math.sqrt(linear**2 + 4 * wider * higher * room))
    left, top = (int(share * side) for side in (box.left - window.left, box.top - window.top))
    right = int(share * (window.left + window.width - box.left - box.width))
    bottom = int(share * (window.top + window.height - box.top - box.height))
    return Box(box.left - left, box.top - top, left + box.width + right, top + box.height + bottom)


def crop(pixels: NDArray[Pixel], box: Box, beyond: Literal["edge", "constant"] = "edge") -> NDArray[Pixel]:
    """The pixels in the box, (box.height, box.width, ...), contiguous.

    beyond: what is seen where the box leaves the picture: its `edge`'s pixels, or the `constant` 0.
    """
    height, width = pixels.shape[:2]
    right, bottom = box.left + box.width, box.top + box.height
    inside = pixels[max(0, box.top) : bottom, max(0, box.left) : right]
    outside = [(max(0, -box.top), max(0, bottom - height)), (max(0, -box.left), max(0, right - width))]
    if not any(map(any, outside)):
        return np.ascontiguousarray(inside)
    return np.pad(inside, [*outside, *[(0, 0)] * (pixels.ndim - 2)], beyond)
