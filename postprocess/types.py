"""The arrays that travel, and the encoded picture that leaves."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

RGB: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, sRGB, upright."""
Alpha: TypeAlias = NDArray[np.float32]
"""(H, W) float32 in [0, 1], a matte: soft where the subject's edge is."""
Mask: TypeAlias = NDArray[np.bool_]
"""(H, W) bool: binary only."""
RGBA: TypeAlias = NDArray[np.uint8]
"""(H, W, 4) uint8, sRGB, straight (not premultiplied) alpha."""


_EXTENSIONS = {"image/jpeg": "jpg", "application/zip": "zip"}


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished picture. width, height: px."""

    body: bytes
    media_type: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """Of a file with this picture, without the dot."""
        return _EXTENSIONS.get(self.media_type) or self.media_type.rpartition("/")[2]
