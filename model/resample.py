"""Pictures at a network's size, without torch: what model.preprocess.resize gives, or next to it."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["resampled"]

_MANY = 3
"""Times the size from which a picture is halved first: Pillow would take most of a photograph's time."""


def resampled(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 to (*size, 3) uint8, aspect not kept, bilinear with antialiasing.

    The same as torch's to one level of 255. Of pictures of three times the size and more, whose halves are
    means of four pixels, to about a level on average.
    """
    if rgb.shape[:2] == size:
        return np.ascontiguousarray(rgb)
    import cv2  # workers get their pictures in their size, and have neither of these
    from PIL import Image

    while min(rgb.shape[0] / size[0], rgb.shape[1] / size[1]) >= _MANY:
        half = rgb.shape[1] // 2, rgb.shape[0] // 2
        rgb = np.asarray(cv2.resize(rgb, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.BILINEAR))
