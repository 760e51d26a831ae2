"""Pictures and mattes as training takes them: squares of uint8."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["PICTURES", "PackError", "Pixels", "decoded", "fitting_matte", "matte_of", "square", "unnumbered"]

PICTURES = (".webp", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

Pixels: TypeAlias = NDArray[np.uint8]

_MOST_CLASSES = 32
"""A mask's greatest value up to which it is no matte: programs that label number their classes from 1."""


class PackError(ValueError):
    """Data is missing or of another layout than is wanted: the text names the first file that is amiss."""


def decoded(body: bytes, flags: int, named: str) -> Pixels:
    """A file's picture, in OpenCV's order of channels. Raises PackError, with the name, when it is none."""
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), flags) if body else None
    if picture is None:
        raise PackError(f"{named} is not a picture that can be read")
    return np.asarray(picture, np.uint8)


def matte_of(body: bytes, named: str) -> Pixels:
    """The values of a mask's file, (h, w): its alpha where it is transparent anywhere, else its grey.

    Raises PackError, with the name, when it is no picture.
    """
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED) if body else None
    if picture is not None and picture.ndim == 3 and picture.shape[2] == 4 and picture.dtype.kind == "u":
        alpha = picture[..., 3] // (257 if picture.dtype == np.uint16 else 1)
        if alpha.min() < 255:
            return np.ascontiguousarray(alpha, np.uint8)
    return decoded(body, cv2.IMREAD_GRAYSCALE, named)  # turned by what EXIF says, as its picture is


def unnumbered(mask: Pixels, named: str) -> Pixels:
    """The mask (h, w). Raises PackError, with the name, for one that holds numbers of classes."""
    if 0 < mask.max() <= _MOST_CLASSES:
        raise PackError(
            f"{named} has no value over {mask.max()}: it seems to number classes. The subject is white, 255"
        )
    return mask


def square(picture: Pixels, side: int) -> Pixels:
    """Squeezed to side x side px, whatever its shape."""
    shrinks = max(picture.shape[:2]) > side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8)


def fitting_matte(matte: Pixels, size: tuple[int, int], named: str) -> Pixels:
    """The matte (h, w) of a picture of `size`, (width, height) px; a binary one as soft as an edge in focus.

    Another size is fine, another shape is not, nor are numbers of classes: raises PackError.
    """
    unnumbered(matte, named)
    height, width = matte.shape
    if abs(width * size[1] - height * size[0]) > 0.02 * width * size[1]:
        raise PackError(f"{named} is {width}x{height} px, its picture {size[0]}x{size[1]}")
    if not np.any((matte > 0) & (matte < 255)):
        matte = np.asarray(cv2.GaussianBlur(matte, (0, 0), 0.8), np.uint8)
    return matte
