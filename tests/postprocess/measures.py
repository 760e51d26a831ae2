"""How far a matte is from the true one: after Rhemann et al. 2009 and, for the third, Cheng et al. 2021."""

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.types import Alpha


def sad(alpha: Alpha, truth: Alpha) -> float:
    """Sum of absolute differences, in thousands of px."""
    return float(np.abs(alpha - truth).sum(dtype=np.float64)) / 1000


def gradient_error(alpha: Alpha, truth: Alpha) -> float:
    """Squared difference of the gradients' magnitudes at sigma 1.4, summed, in tens."""

    def slope(matte: Alpha) -> NDArray[np.float32]:
        smooth = cv2.GaussianBlur(matte, (0, 0), 1.4)
        across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
        return np.asarray(np.hypot(across, down), np.float32) / np.float32(8)

    return float(((slope(alpha) - slope(truth)) ** 2).sum(dtype=np.float64)) / 10


def boundary_iou(alpha: Alpha, truth: Alpha, share: float = 0.005) -> float:
    """Intersection over union of the inner rims of the two masks, `share` of the diagonal wide."""
    width = max(1, round(share * float(np.hypot(*truth.shape))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    rims = [(m - cv2.erode(m, disc)) > 0 for m in ((x > 0.5).astype(np.uint8) for x in (alpha, truth))]
    return float((rims[0] & rims[1]).sum() / max(1, (rims[0] | rims[1]).sum()))
