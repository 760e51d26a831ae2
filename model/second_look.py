"""A second look at what a network is unsure of: test-time augmentation for the pictures that it helps.

It is a closer one, and mirrored: the subject and its surroundings, enlarged, left and right exchanged. What a
network makes of both looks together is better than what it makes of one, but costs twice the time; where it
is sure, both say the same anyway. Where they contradict each other, the first one counts, which saw it all.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["Window", "agreed", "closer", "combined", "surroundings", "uncertainty"]

_FAINT = 0.1
"""Alpha up to which all is surely ground; as far below 1, all is surely subject."""
_AROUND = 0.15
"""Of its height and width, what is shown on each side of it."""
_LEAST = 1 / 3
"""Of the picture's height and width, but for what would lie outside: less is too little to know it by."""
_AGREEMENT = 0.7
"""Least IoU, of soft mattes, of two looks that do not contradict each other."""

Window = tuple[slice, slice]
"""Rows and columns of a picture or its alpha."""


def uncertainty(alpha: NDArray[np.float32]) -> float:
    """The area where alpha (h, w) is between 0.1 and 0.9, as a share of that where it is over 0.5."""
    soft, subject = (alpha > _FAINT) & (alpha < 1 - _FAINT), alpha > 0.5
    return int(np.count_nonzero(soft)) / max(1, int(np.count_nonzero(subject)))


def surroundings(alpha: NDArray[np.float32]) -> Window:
    """Where to look again: the subject of alpha (h, w) and what is around it; without one, everywhere."""
    found = alpha > _FAINT
    rows, columns = (
        _reach(np.flatnonzero(found.any(1 - axis)), side) for axis, side in enumerate(alpha.shape)
    )
    return rows, columns


def closer(picture: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """The window of a picture (h, w, 3), enlarged to its size and mirrored."""
    height, width = picture.shape[:2]
    return np.rint(_scaled(picture[window][:, ::-1], height, width)).astype(np.uint8)


def combined(alpha: NDArray[np.float32], again: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    """The alpha (h, w) of a picture and that of what `closer` showed of it, as one; NaN where one has it."""
    first = alpha[window]
    second = _scaled(again[:, ::-1], *first.shape)
    if np.minimum(first, second).sum() < _AGREEMENT * np.maximum(first, second).sum():
        return alpha
    result = alpha.copy()
    result[window] = agreed(first, second)
    return result


def agreed(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two alphas (h, w) in [0, 1] as one: the sigmoid of the mean of their logits, NaN where one of them is.

    Unlike the alphas' own mean it leaves to the surer one what the other only doubts.
    """
    subject, ground = np.sqrt(one * other), np.sqrt((1 - one) * (1 - other))
    total = subject + ground
    # Where it is 0, both are sure, and of opposite things.
    alpha: NDArray[np.float32] = np.divide(subject, total, out=np.full_like(total, 0.5), where=total != 0)
    return alpha


def _reach(places: NDArray[np.intp], side: int) -> slice:
    """From the first to the last of the places on a side, with what is shown around them; all without any."""
    if not len(places):
        return slice(0, side)
    first, last = int(places[0]), int(places[-1]) + 1
    around = max(_AROUND * (last - first), (_LEAST * side - (last - first)) / 2)
    return slice(max(0, math.floor(first - around)), min(side, math.ceil(last + around)))


def _scaled(values: NDArray[np.uint8 | np.float32], height: int, width: int) -> NDArray[np.float32]:
    """(h, w, …) to (height, width, …), bilinear. Workers have no library for it (model/resample.py)."""
    scaled: NDArray[np.float32] = values.astype(np.float32)
    for axis, side in ((1, width), (0, height)):  # rows last, which lie together in memory
        last = scaled.shape[axis] - 1
        places = np.clip((np.arange(side) + 0.5) * (last + 1) / side - 0.5, 0, last)
        low = places.astype(np.intp)
        below, between = (scaled.take(np.minimum(at, last), axis) for at in (low, low + 1))
        share = np.expand_dims((places - low).astype(np.float32), tuple(range(1, scaled.ndim - axis)))
        between -= below
        between *= share
        between += below
        scaled = between
    return scaled
