"""The picture that every engine must get right before it may serve."""

import numpy as np
from numpy.typing import NDArray

from model.errors import ModelUnavailable
from model.registry import scaled_size

__all__ = ["TOLERANCE", "agree", "check", "picture", "probe_size", "thumbnail"]

TOLERANCE = 0.01
"""Largest mean absolute difference between two alphas of the same picture that are both right."""

_SIDE = 32
_LONGEST = 512


def probe_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in px of the self-test's picture for a network that takes pictures of `size`.

    At most 512 px a side: right or wrong shows there, and a network that needs seconds for a picture of its
    own size must not need minutes to start. The shape is kept, sides are multiples of 32 px.
    """
    return scaled_size(size, min(_LONGEST, max(size)))


def picture(size: tuple[int, int]) -> NDArray[np.uint8]:
    """(*size, 3) uint8: an orange ball, lit from the upper left, on a blue-green ground.

    No two channels are alike, so that exchanged channels or means cannot pass.
    """
    height, width = size
    y, x = np.mgrid[0:height, 0:width]
    y, x = y / height, x / width
    ground = np.stack((40 + 60 * y, 110 + 50 * x, 150 + 40 * (1 - y)), axis=-1)
    distance = np.hypot(x - 0.5, y - 0.52)
    light = 1 - 0.9 * np.hypot(x - 0.42, y - 0.42)
    ball = light[..., None] * np.array((250.0, 140.0, 40.0))
    inside = np.clip((0.28 - distance) * 100 + 0.5, 0, 1)[..., None]
    pixels: NDArray[np.uint8] = np.rint(ground + inside * (ball - ground)).astype(np.uint8)
    return pixels


def thumbnail(alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W) to (32, 32) float32, by mean: what is stored of a reference alpha."""
    rows, columns = (_shares(side) for side in alpha.shape)
    small: NDArray[np.float32] = np.einsum("ih,hw,jw->ij", rows, alpha, columns, optimize=True)
    return small


def _shares(side: int) -> NDArray[np.float32]:
    """(32, side): what each of 32 means takes of a line; they overlap where 32 does not divide it."""
    ends = np.arange(_SIDE + 1) * side / _SIDE
    first, last = np.floor(ends[:-1])[:, None], np.ceil(ends[1:])[:, None]
    place = np.arange(side)
    return np.asarray(((place >= first) & (place < last)) / (last - first), np.float32)


def agree(alpha: NDArray[np.float32], reference: NDArray[np.float32]) -> bool:
    """Whether two alphas of one shape differ by at most TOLERANCE on average; NaN never agrees."""
    return alpha.shape == reference.shape and bool(np.abs(alpha - reference).mean() <= TOLERANCE)


def check(name: str, alpha: NDArray[np.float32], golden: NDArray[np.float32] | None) -> None:
    """Raises ModelUnavailable unless the alpha is finite and, where there is a golden one, agrees.

    alpha: (H, W), of the model of that name. golden: see `thumbnail`.
    """
    if not (np.isfinite(alpha).all() if golden is None else agree(thumbnail(alpha), golden)):
        raise ModelUnavailable(f"model '{name}' gives a wrong result in its self-test")
