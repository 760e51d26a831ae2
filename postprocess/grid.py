"""A coarse grid over a picture, and the full-resolution pixels of those cells that matter.

What is smooth (colour models, local averages) is computed once per cell; what follows the picture's own
pixels is evaluated at full resolution, but only in the cells that the edge of a matte crosses.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.types import Mask

Floats = NDArray[np.float32]

_WIDE = 8
"""Cells: the radius from which on windows are averaged more coarsely."""

_CHUNK = 1 << 17
"""Pixels evaluated at a time: bounds the memory of a matte that is soft all over, and stays in the cache."""


def factor_for(shape: tuple[int, ...], longest: int) -> int:
    """The least power of two that brings the longer of shape's first two sides down to `longest` cells."""
    factor = 1
    while max(shape[:2]) > longest * factor:
        factor *= 2
    return factor


def reduce(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means over factor x factor px, (ceil(H/factor), ceil(W/factor), ...) uint8; borders are repeated.

    Halving again and again is several times faster in OpenCV than any other reduction.
    """
    height, width = pixels.shape[:2]
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    while factor > 1:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), np.uint8)
        factor //= 2
    return pixels


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    """Means over 2 x 2 cells of (h, w): (ceil(h/2), ceil(w/2)) of the same type; borders are repeated."""
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = (plane.shape[1] // 2, plane.shape[0] // 2)
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), plane.dtype)


def repeat(cells: Floats, factor: int, shape: tuple[int, int]) -> Floats:
    """Every cell's value at each of its pixels: (H, W) of `shape`, contiguous."""
    size = (cells.shape[1] * factor, cells.shape[0] * factor)
    full = np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_NEAREST), np.float32)
    return np.ascontiguousarray(full[: shape[0], : shape[1]])


def grown(band: Mask, reach: int) -> Mask:
    """The cells of `band`, (h, w), and all within `reach` cells of them, diagonally too."""
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(band.view(np.uint8), window)).view(np.bool_)


def local_means(planes: Iterable[Floats], radius: int, cells: NDArray[np.intp]) -> Floats:
    """(len(planes), n): means of planes, (h, w) each, over (2 radius + 1)² cells around each of n.

    planes: of one shape, taken one by one, so that they need not all be there at once. cells: flat indices.
    What is averaged far and wide is smooth: from a radius of _WIDE on it takes cells of twice the size,
    which the windows are rounded to.
    """
    halvings = 0
    while radius >= _WIDE:
        radius, halvings = radius // 2, halvings + 1
    side = (2 * radius + 1, 2 * radius + 1)
    means: list[Floats] = []
    for plane in planes:
        coarse = plane
        for _ in range(halvings):
            coarse = halved(coarse)
        if not means and halvings:
            row, column = np.divmod(cells, plane.shape[1])
            cells = (row >> halvings) * coarse.shape[1] + (column >> halvings)
        blurred = np.asarray(cv2.blur(coarse, side, borderType=cv2.BORDER_REFLECT), np.float32)
        means.append(blurred.reshape(-1).take(cells))
    return np.stack(means)


def weights(alpha: Floats) -> tuple[Floats, Floats]:
    """What a cell says about the subject and about the background: the fourth powers of its shares in them.

    Steep, so that pure cells count, and mixed ones only where there are no others.
    """
    subject, behind = alpha * alpha, (1 - alpha) * (1 - alpha)
    return subject * subject, behind * behind


def _bilinear(factor: int) -> Floats:
    """(factor², 9): what the 3x3 cells around it weigh at each pixel of a cell."""
    offset = (np.arange(factor) + 0.5) / factor - 0.5
    line = np.stack([np.maximum(-offset, 0), 1 - np.abs(offset), np.maximum(offset, 0)], axis=1)
    weights = line[:, None, :, None] * line[None, :, None, :]
    return np.asarray(weights.reshape(factor * factor, 9), np.float32)


@dataclass(frozen=True, slots=True)
class Patch:
    """The pixels of some cells: k = factor² of each of n cells, as (k, n, ...) arrays."""

    pixels: NDArray[np.intp]  # (k, n), flat indices into the picture; beyond its border, the border's
    inside: Mask | None  # (k, n); None: no cell reaches beyond the border
    neighbours: NDArray[np.intp]  # (9, n), flat indices into the grid
    weights: Floats  # (k, 9)

    def gather(self, full: NDArray[np.generic]) -> Floats:
        """(H, W) or (H, W, C) -> (k, n) or (k, n, C) float32."""
        return np.take(full.reshape(-1, *full.shape[2:]), self.pixels, axis=0).astype(np.float32)

    def spread(self, cells: Floats) -> Floats:
        """(h, w, C) values of the cells -> (k, n, C), interpolated bilinearly."""
        channels = cells.shape[2]
        around = np.take(cells.reshape(-1, channels), self.neighbours, axis=0)
        # Not `@`: OpenBLAS' threads would contend with those of other pictures.
        mixed = np.einsum("ki,in->kn", self.weights, around.reshape(9, -1))
        return np.asarray(mixed, np.float32).reshape(len(self.weights), -1, channels)

    def scatter(self, values: NDArray[np.generic], full: NDArray[np.generic]) -> None:
        """Writes (k, n, ...) values to their pixels of `full`, which must be contiguous."""
        flat = full.reshape(-1, *full.shape[2:])
        if self.inside is None:
            flat[self.pixels] = values
        else:
            flat[self.pixels[self.inside]] = values[self.inside]


def patches(
    band: Mask, factor: int, shape: tuple[int, int], corner: tuple[int, int] = (0, 0)
) -> Iterator[Patch]:
    """The pixels of the cells in `band`, (h, w) bool, of a picture of `shape` (H, W), some at a time.

    corner: row and column of the grid where `band` begins, and with it what the patches' neighbours index.
    """
    height, width = shape
    weights = _bilinear(factor)
    cells = np.flatnonzero(band)
    step = np.arange(-1, 2)
    within = np.arange(factor)
    count = max(1, _CHUNK // factor**2)
    for start in range(0, len(cells), count):
        row, column = np.divmod(cells[start : start + count], band.shape[1])
        near_y = np.clip(row + step[:, None], 0, band.shape[0] - 1)
        near_x = np.clip(column + step[:, None], 0, band.shape[1] - 1)
        neighbours = near_y[:, None] * band.shape[1] + near_x[None]
        y = (row + corner[0]) * factor + within[:, None]
        x = (column + corner[1]) * factor + within[:, None]
        beyond = bool(y.max() >= height or x.max() >= width)
        inside = ((y < height)[:, None] & (x < width)[None]).reshape(factor**2, -1) if beyond else None
        pixels = np.minimum(y, height - 1)[:, None] * width + np.minimum(x, width - 1)[None]
        yield Patch(pixels.reshape(factor**2, -1), inside, neighbours.reshape(9, -1), weights)
