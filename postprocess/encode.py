"""Finished pixels to the bytes of a file. Pixels are sRGB and say so where that costs nothing.

No ICC profile, no EXIF, no other metadata: what is not declared is sRGB by every format's convention.
"""

import io
import zipfile
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from postprocess.colour import Colour
from postprocess.compose import over_colour
from postprocess.png import encode_png
from postprocess.types import Encoded

Format = Literal["png", "webp", "jpeg", "avif", "zip"]
Pixels = NDArray[np.uint8]

MEDIA_TYPES: dict[Format, str] = {
    "png": "image/png",
    "webp": "image/webp",
    "jpeg": "image/jpeg",
    "avif": "image/avif",
    "zip": "application/zip",
}
_LONGEST: dict[Format, int] = {"webp": 16_383, "jpeg": 65_535, "avif": 65_535, "zip": 65_535}


def encode(pixels: Pixels, format: Format, quality: int = 90) -> Encoded:
    """(H, W) grey, (H, W, 3) RGB or (H, W, 4) straight RGBA uint8 as a file; the same bytes every time.

    png is exact. webp and avif are lossy and keep alpha; webp at quality 100 is exact where it shows.
    jpeg has no alpha: what is transparent lies over white. zip holds color.jpg and alpha.png, stored;
    it takes RGBA.
    quality: 1 to 100, of everything but png.

    Raises ValueError: a picture that the format cannot hold.
    """
    height, width = pixels.shape[:2]
    if max(height, width) > _LONGEST.get(format, 1 << 31):
        raise ValueError(f"{format} holds at most {_LONGEST[format]} px a side")
    return Encoded(_WRITERS[format](pixels, quality), MEDIA_TYPES[format], width, height)


def _png(pixels: Pixels, _quality: int) -> bytes:
    return encode_png(pixels)


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        alpha = pixels[..., 3].astype(np.float32) / np.float32(255)
        pixels = over_colour(np.ascontiguousarray(pixels[..., :3]), alpha, Colour(255, 255, 255))
    # A cutout's edge is a step in colour, which halved chroma smears.
    subsampling = "4:4:4" if quality >= 90 else "4:2:0"
    return _save(pixels, "JPEG", quality=quality, subsampling=subsampling)


def _webp(pixels: Pixels, quality: int) -> bytes:
    if quality == 100:
        return _save(pixels, "WEBP", lossless=True, quality=0, method=0)
    return _save(pixels, "WEBP", quality=quality, method=2)


def _avif(pixels: Pixels, quality: int) -> bytes:
    # One thread: a server has other pictures for its other cores.
    return _save(pixels, "AVIF", quality=quality, speed=8, max_threads=1)


def _zip(pixels: Pixels, quality: int) -> bytes:
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        raise ValueError("zip holds colour and alpha: it takes RGBA")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        # ZipInfo's date is fixed (1980): the same pixels are the same bytes.
        archive.writestr(zipfile.ZipInfo("color.jpg"), _jpeg(np.ascontiguousarray(pixels[..., :3]), quality))
        archive.writestr(zipfile.ZipInfo("alpha.png"), encode_png(pixels[..., 3]))
    return out.getvalue()


def _save(pixels: Pixels, name: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, name, **options)
    return out.getvalue()


_WRITERS: dict[Format, Callable[[Pixels, int], bytes]] = {
    "png": _png,
    "webp": _webp,
    "jpeg": _jpeg,
    "avif": _avif,
    "zip": _zip,
}
