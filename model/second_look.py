"""A second look at what a network is unsure of: test-time augmentation for the pictures that it helps.

The mirror image of a picture has the mirrored matte. What a network makes of both together is better than
what it makes of one, but costs twice the time; where it is sure, both say the same anyway.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["agreed", "mirrored", "uncertainty"]


def uncertainty(alpha: NDArray[np.float32]) -> float:
    """The area where alpha (h, w) is between 0.1 and 0.9, as a share of that where it is over 0.5."""
    soft, subject = (alpha > 0.1) & (alpha < 0.9), alpha > 0.5
    return int(np.count_nonzero(soft)) / max(1, int(np.count_nonzero(subject)))


def mirrored(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w, 3), left and right exchanged."""
    return np.ascontiguousarray(picture[:, ::-1])


def agreed(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two alphas (h, w) in [0, 1] as one: the sigmoid of the mean of their logits, NaN where one of them is.

    Unlike the alphas' own mean it leaves to the surer one what the other only doubts.
    """
    subject, ground = np.sqrt(one * other), np.sqrt((1 - one) * (1 - other))
    total = subject + ground
    # Where it is 0, both are sure, and of opposite things.
    alpha: NDArray[np.float32] = np.divide(subject, total, out=np.full_like(total, 0.5), where=total != 0)
    return alpha
