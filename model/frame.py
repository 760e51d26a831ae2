"""What travels between the service and its workers: one small header, and the samples behind it.

A frame is 16 bytes, little-endian, and the payload. There is nothing to parse beyond fixed fields, and the
payload's length follows from them:

    0   4 bytes   "OCUT"
    4   uint8     version, 1
    5   uint8     kind: 1 a picture, (height, width, 3) uint8; 2 an alpha, (height, width) uint16
    6   uint16    height, px
    8   uint16    width, px
    10  uint16    of a picture: 1 when another worker failed with it, so that it is inferred alone; else 0
    12  uint32    of a picture: milliseconds that are left to its request; of an alpha: 0
"""

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEADER_BYTES", "MAX_BYTES", "FrameError", "Header", "pack_alpha", "pack_picture", "unpack_alpha"]

MAX_SIDE = 2560
"""px: more than any network of the registry takes."""
_HEADER = struct.Struct("<4sBBHHHI")
HEADER_BYTES = _HEADER.size
MAX_BYTES = HEADER_BYTES + MAX_SIDE * MAX_SIDE * 3
_MAGIC, _VERSION = b"OCUT", 1
_PICTURE, _ALPHA = 1, 2
_LEVELS = 65535
_MAX_MILLISECONDS = 3_600_000


class FrameError(ValueError):
    """These bytes are no such frame; the text says why."""


@dataclass(frozen=True, slots=True)
class Header:
    """Of a picture's frame. seconds: left to its request. alone: see above."""

    height: int
    width: int
    seconds: float
    alone: bool = False

    @classmethod
    def unpack(cls, frame: bytes | bytearray) -> "Header":
        """The header of a whole frame, whose length is proven to be right. Raises FrameError."""
        height, width, alone, milliseconds = _unpack(frame, _PICTURE, 3)
        if milliseconds > _MAX_MILLISECONDS:
            raise FrameError(f"{milliseconds} ms are more than any request has")
        return cls(height, width, milliseconds / 1000, bool(alone))

    def picture(self, frame: bytes | bytearray) -> NDArray[np.uint8]:
        """(height, width, 3) uint8: a view of the frame."""
        return np.frombuffer(frame, np.uint8, offset=HEADER_BYTES).reshape(self.height, self.width, 3)


def pack_picture(rgb: NDArray[np.uint8], seconds: float, *, alone: bool = False) -> bytes:
    """The frame of a picture (height, width, 3) uint8 whose request has `seconds` left."""
    milliseconds = min(_MAX_MILLISECONDS, math.floor(seconds * 1000))
    return _header(_PICTURE, rgb.shape, int(alone), milliseconds) + np.ascontiguousarray(rgb).data


def pack_alpha(alpha: NDArray[np.float32]) -> bytes:
    """The frame of an alpha (height, width) float32 in [0, 1]: half the bytes, exact to 1/131070."""
    levels = np.rint(alpha * _LEVELS).astype("<u2")
    return _header(_ALPHA, alpha.shape, 0, 0) + levels.data


def unpack_alpha(frame: bytes, size: tuple[int, int]) -> NDArray[np.float32]:
    """(height, width) float32 in [0, 1]. size: the height and width that it must have. Raises FrameError."""
    height, width, _, _ = _unpack(frame, _ALPHA, 2)
    if (height, width) != size:
        raise FrameError(f"an alpha of {width} x {height} px for a picture of {size[1]} x {size[0]} px")
    levels = np.frombuffer(frame, "<u2", offset=HEADER_BYTES).reshape(size)
    return levels.astype(np.float32) / np.float32(_LEVELS)


def _header(kind: int, shape: tuple[int, ...], alone: int, milliseconds: int) -> bytes:
    return _HEADER.pack(_MAGIC, _VERSION, kind, shape[0], shape[1], alone, milliseconds)


def _unpack(frame: bytes | bytearray, wanted: int, sample_bytes: int) -> tuple[int, int, int, int]:
    """height, width, alone, milliseconds. sample_bytes: of the payload, per pixel."""
    if len(frame) < HEADER_BYTES:
        raise FrameError(f"{len(frame)} bytes are no frame")
    magic, version, kind, height, width, alone, milliseconds = _HEADER.unpack_from(frame)
    if magic != _MAGIC or alone > (kind == _PICTURE):
        raise FrameError("not a frame")
    if version != _VERSION:
        raise FrameError(f"a frame of version {version}, and this is version {_VERSION}")
    if kind != wanted:
        raise FrameError(f"a frame of kind {kind} where {wanted} is wanted")
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise FrameError(f"{width} x {height} px is out of range")
    if len(frame) != HEADER_BYTES + height * width * sample_bytes:
        raise FrameError(f"{len(frame)} bytes for {width} x {height} px")
    return height, width, alone, milliseconds
