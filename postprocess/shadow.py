"""A shadow under the subject: of a lamp before it (`drop`), or where it stands on the ground (`ground`)."""

from typing import Literal

import cv2
import numpy as np

from postprocess.compose import over
from postprocess.crop import Box, bounding_box
from postprocess.types import RGB, Alpha

Shadow = Literal["drop", "ground"]

_CELLS = 512
"""Of the longer side: a shadow is smooth, and drawn this small it costs next to nothing."""
_BLUR = {"drop": 0.025, "ground": 0.02}  # sigma, share of the subject's longer side
_OFFSET = 0.03  # of `drop`, right and down, share of the subject's longer side
_FLATNESS = 0.12  # of `ground`: its height as a share of the subject's


def cast(alpha: Alpha, kind: Shadow, opacity: float) -> Alpha:
    """The shadow of the subject with this matte, (H, W) in [0, opacity]. opacity: in [0, 1]."""
    height, width = alpha.shape
    factor = min(1.0, _CELLS / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    box = bounding_box(small)
    if box is None:
        return np.zeros_like(alpha)
    longer = max(box.width, box.height)
    moved = cv2.warpAffine(small, _motion(kind, box, longer), size)
    # The border is empty: what leaves the picture comes back as nothing.
    soft = cv2.GaussianBlur(moved, (0, 0), max(0.5, _BLUR[kind] * longer), borderType=cv2.BORDER_CONSTANT)
    full = cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(full, 0, 1) * np.float32(opacity), np.float32)


def under(rgb: RGB, alpha: Alpha, shadow: Alpha) -> tuple[RGB, Alpha]:
    """Subject and black shadow as one layer: (H, W, 3) straight colours and their (H, W) opacity."""
    total = alpha + shadow * (np.float32(1) - alpha)
    share = np.divide(alpha, total, out=np.zeros_like(alpha), where=total > 0)
    return over(rgb, share, np.zeros_like(rgb)), total


def _motion(kind: Shadow, box: Box, longer: int) -> np.typing.NDArray[np.float32]:
    """The affine map, (2, 3), that turns the subject's silhouette into its shadow's."""
    if kind == "drop":
        return np.array([[1, 0, _OFFSET * longer], [0, 1, _OFFSET * longer]], np.float32)
    # Flattened onto the line that it stands on, half before it and half behind.
    base = box.top + box.height
    return np.array(
        [[1, 0, 0], [0, _FLATNESS, base * (1 - _FLATNESS) + _FLATNESS * box.height / 2]], np.float32
    )
