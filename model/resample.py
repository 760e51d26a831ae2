"""Pictures at a network's size, without torch: what model.preprocess.resize gives, to one level of 255."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["resampled"]


def resampled(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 to (*size, 3) uint8, aspect not kept, bilinear with antialiasing."""
    if rgb.shape[:2] == size:
        return np.ascontiguousarray(rgb)
    from PIL import Image  # workers get their pictures in their size, and have no Pillow

    return np.asarray(Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.BILINEAR))
