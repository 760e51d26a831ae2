"""Bytes from a stranger into an upright 8-bit sRGB picture.

The rules: only formats on the list, told apart by their first bytes; size limits before any pixel is
decoded; the first frame; of the metadata only orientation and ICC profile. 16-bit samples are divided
by 257; grey, palette, CMYK and YCCK become RGB; a profile that cannot be used is taken for sRGB.

Run it where a crash is cheap: api.source.isolation does.
"""

import importlib
import io
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile

from api.errors import CorruptImage, ImageTooLarge, ObjectCutError, PayloadTooLarge, UnsupportedImage
from api.types import Picture

if TYPE_CHECKING:  # it brings pydantic: 8 MB in each of the processes that decode
    from api.source.limits import DecodeLimits, SourceFormat

logger = logging.getLogger("objectcut.decode")

Bytes: TypeAlias = NDArray[np.uint8]

# Pillow's classes are named here and loaded one by one: Image.open would load plugins nobody asked for.
_PLUGINS: "Mapping[SourceFormat, tuple[str, str]]" = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIF": ("pillow_heif.as_plugin", "HeifImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
}
_MAX_PROFILE = 1_000_000  # bytes
_MAX_READS = 200_000
"""Reads of one file: an honest one of 25 MB takes some thousand, one made of empty chunks a million."""

_UPRIGHT: Mapping[int, Callable[[Bytes], Any]] = {
    2: lambda a: cv2.flip(a, 1),
    3: lambda a: cv2.rotate(a, cv2.ROTATE_180),
    4: lambda a: cv2.flip(a, 0),
    5: cv2.transpose,
    6: lambda a: cv2.rotate(a, cv2.ROTATE_90_CLOCKWISE),
    7: lambda a: cv2.rotate(cv2.transpose(a), cv2.ROTATE_180),
    8: lambda a: cv2.rotate(a, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""What makes a picture of that EXIF orientation upright; any other value means that it is."""


def decode(data: bytes, limits: "DecodeLimits") -> Picture:
    """The picture in `data`.

    Raises:
        PayloadTooLarge, UnsupportedImage, ImageTooLarge (pixels, side or memory), CorruptImage.
    """
    if len(data) > limits.max_bytes:
        raise PayloadTooLarge(f"{len(data)} bytes")
    name = _format_of(data)
    if name not in limits.formats:
        accepted = ", ".join(limits.formats)
        raise UnsupportedImage(
            f"{name or 'unknown format'}", public=f"{UnsupportedImage.title} We read {accepted}."
        )
    # Pillow's own guard, for what it allocates while it opens a file, at our limit.
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with _open(name, data) as image:
            _check_size(image.size, limits)
            return _picture(image, data)
    except ObjectCutError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as exc:
        raise ImageTooLarge(f"{type(exc).__name__}: {exc}") from exc
    except Exception as exc:  # a parser led astray raises anything: struct.error, KeyError, cv2.error, …
        raise CorruptImage(f"{name}: {type(exc).__name__}: {exc}") from exc


def _format_of(data: bytes) -> "SourceFormat | None":
    """Told by its first bytes: names and media types are the sender's claim."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        # One container, two codecs: the brands say which.
        brands = data[8:64]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        return "HEIF" if any(brand in brands for brand in (b"heic", b"heix", b"mif1", b"heim")) else None
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    return None


class _CountedReads(io.BytesIO):
    """A file of which no parser reads for ever."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise CorruptImage("made of too many parts")
        return super().read(size)


def _open(name: "SourceFormat", data: bytes) -> ImageFile.ImageFile:
    module, plugin = _PLUGINS[name]
    opened: ImageFile.ImageFile = getattr(importlib.import_module(module), plugin)(_CountedReads(data))
    return opened


def _check_size(size: tuple[int, int], limits: "DecodeLimits") -> None:
    width, height = size
    if width * height > limits.max_pixels or max(size) > limits.max_side:
        raise ImageTooLarge(
            f"{width}x{height}",
            public=f"The image is {width}x{height} pixels: at most {limits.max_pixels / 1e6:g} million, "
            f"and {limits.max_side} on a side, are allowed.",
        )


def _picture(image: ImageFile.ImageFile, data: bytes) -> Picture:
    """Everything after the checks."""
    profile = _profile(image)
    rgb, alpha = (None if profile else _fast_jpeg(image, data)), None
    if rgb is None:
        colour, alpha = _eight_bit(image, data)
        rgb = _srgb(colour, profile)
    if alpha is not None and alpha.min() == 255:
        alpha = None
    upright = _UPRIGHT.get(_orientation(image))
    if upright:
        rgb, alpha = upright(rgb), None if alpha is None else upright(alpha)
    return Picture(rgb, None if alpha is None else alpha.astype(np.float32) / np.float32(255))


def _fast_jpeg(image: ImageFile.ImageFile, data: bytes) -> Bytes | None:
    """OpenCV's decode of a plain JPEG: the same libjpeg-turbo as Pillow's, without its detours.

    None where Pillow must decide: another format, CMYK, or a file without an end-of-image marker after
    its first scan (OpenCV may pass over a truncated file with a warning, Pillow refuses it).
    """
    if image.format != "JPEG" or image.mode not in ("RGB", "L") or image.fp is None:
        return None
    if data.rfind(b"\xff\xd9", image.fp.tell()) < 0:
        return None
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    rgb = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    # OpenCV has read the header for itself: the two must agree on what was let in.
    if rgb is None or rgb.shape != (image.height, image.width, 3):
        return None
    return np.asarray(rgb, np.uint8)


def _eight_bit(image: ImageFile.ImageFile, data: bytes) -> tuple[Image.Image, Bytes | None]:
    """The colours as an image of mode L, RGB or CMYK, and the alpha, (H, W) uint8 or None."""
    image.load()
    if image.format == "PNG" and data[24] == 16 and data[25] != 0:
        return _deep_png(image, data)
    if image.format == "PNG" and data[24] in (2, 4) and data[25] == 0 and "transparency" in image.info:
        # Pillow spreads the samples over 0 to 255, and leaves the one that is transparent as it was.
        image.info["transparency"] *= 255 // ((1 << data[24]) - 1)
    if image.mode == "F":
        samples = np.nan_to_num(np.asarray(image), nan=0.0, posinf=1.0, neginf=0.0)
        # Two conventions are about: 0 to 1, and 0 to 255.
        scale = 255.0 if samples.max() <= 1 else 1.0
        return Image.fromarray((samples * scale).clip(0, 255).round().astype(np.uint8)), None
    if image.mode.startswith("I"):
        grey = np.asarray(image).clip(0, 65_535).astype(np.uint16)
        key = image.info.get("transparency")
        alpha = None if key is None else np.where(grey == key, 0, 255).astype(np.uint8)
        return Image.fromarray(_by_257(grey)), alpha
    if image.mode == "LA":
        grey_image, alpha_image = image.split()
        return grey_image, np.array(alpha_image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        return rgba.convert("RGB"), np.array(rgba.getchannel("A"))
    if image.mode in ("L", "RGB", "CMYK"):
        return image, None
    return image.convert("L" if image.mode == "1" else "RGB"), None


def _deep_png(image: ImageFile.ImageFile, data: bytes) -> tuple[Image.Image, Bytes | None]:
    """A 16-bit PNG of colour type 2, 4 or 6, which Pillow has validated but keeps the high bytes of."""
    deep = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if deep is None or deep.dtype != np.uint16 or deep.shape[:2] != (image.height, image.width):
        raise CorruptImage("a 16-bit PNG that is not one throughout")
    key = image.info.get("transparency")
    rgb = cv2.cvtColor(deep, cv2.COLOR_BGRA2RGB if deep.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    if deep.shape[2] == 4:
        alpha = _by_257(cv2.extractChannel(deep, 3))
    elif key is not None:
        alpha = np.where((rgb == key).all(axis=2), 0, 255).astype(np.uint8)
    else:
        alpha = None
    return Image.fromarray(_by_257(rgb)), alpha


def _by_257(deep: NDArray[Any]) -> Bytes:
    """uint16 samples to uint8, rounded: 65535 / 257 is 255."""
    return np.asarray(cv2.convertScaleAbs(deep, alpha=1 / 257), np.uint8)


def _profile(image: ImageFile.ImageFile) -> ImageCms.ImageCmsProfile | None:
    """The embedded profile, when it can be used and is not sRGB itself."""
    data = image.info.get("icc_profile")
    if not data:
        return None
    if len(data) > _MAX_PROFILE:
        logger.warning("ICC profile ignored: %d bytes", len(data))
        return None
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        return None if "sRGB" in (profile.profile.profile_description or "") else profile
    except Exception as exc:  # like decode(): a parser of hostile bytes
        logger.warning("ICC profile ignored: %s", exc)
        return None


def _srgb(colour: Image.Image, profile: ImageCms.ImageCmsProfile | None) -> Bytes:
    """(H, W, 3) uint8 sRGB, writable."""
    if profile:
        space = profile.profile.xcolor_space.strip()
        try:
            if (space, colour.mode) not in (("RGB", "RGB"), ("RGB", "L"), ("GRAY", "L"), ("CMYK", "CMYK")):
                raise ValueError(f"it is for {space}, the image is {colour.mode}")
            source = colour.convert("RGB") if (space, colour.mode) == ("RGB", "L") else colour
            transform = ImageCms.buildTransform(
                profile,
                ImageCms.createProfile("sRGB"),
                source.mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            colour = ImageCms.applyTransform(source, transform) or colour
        except (ImageCms.PyCMSError, ValueError) as exc:
            logger.warning("ICC profile ignored: %s", exc)
    return np.array(colour if colour.mode == "RGB" else colour.convert("RGB"))


def _orientation(image: ImageFile.ImageFile) -> int:
    """The EXIF orientation, 1 when there is none that can be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # like decode(): a parser of hostile bytes, for a hint we can do without
        return 1
