"""The matte of the original OBJECT CUT service, bit for bit: `edges=objectcut`."""

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.types import Alpha


def sharpened(probability: Alpha) -> NDArray[np.uint8]:
    """(h, w) uint8: what the service made of the network's map, at the network's resolution.

    Everything that reaches 5 of 255 after stretching to the full range is subject; eroded by 3x3,
    blurred with sigma 2, and sharpened by an unsharp mask (5x5, sigma 1, gain 15), in float64.
    """
    low, high = probability.min(), probability.max()
    if high > low:  # the service divided by zero on a flat map
        probability = (probability - low) / (high - low)
    subject = np.where(probability * 255 >= 5, 255.0, 0.0)
    eroded = cv2.erode(subject, np.ones((3, 3), np.uint8))
    # 17 taps reach 4 sigma, and the border repeats its last pixel: scipy's defaults, which it relied on.
    smooth = np.asarray(cv2.GaussianBlur(eroded, (17, 17), 2.0, borderType=cv2.BORDER_REFLECT))
    sharp = 16.0 * smooth - 15.0 * np.asarray(cv2.GaussianBlur(smooth, (5, 5), 1.0))
    return np.clip(sharp, 0, 255).round().astype(np.uint8)


def objectcut(probability: Alpha, size: tuple[int, int]) -> Alpha:
    """The network's map, (h, w) float32 in [0, 1], as the service's matte of `size` (width, height) px.

    alpha * 255 are the service's very bytes.
    """
    enlarged = cv2.resize(sharpened(probability), size, interpolation=cv2.INTER_LANCZOS4)
    return np.asarray(enlarged, np.float32) / np.float32(255)
