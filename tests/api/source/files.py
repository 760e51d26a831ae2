"""Pictures drawn by code, and the files they are in: honest ones and crafted ones."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]


def scene(height: int = 48, width: int = 64) -> Array:
    """(H, W, 3) uint8: smooth, coloured, and different under every turn and mirror image."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red, green = 40 + 180 * x / width, 30 + 190 * y / height
    blue = 200 - 150 * (x / width) * (y / height)
    picture = np.stack([red, green, blue], axis=2)
    picture[: height // 4, : width // 3] = (220, 30, 40)
    return picture.round().astype(np.uint8)


def encode(pixels: Array | Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The file that Pillow writes."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation: object) -> bytes:
    """An EXIF block with this orientation; bytes are taken for the value as they are."""
    value = orientation if isinstance(orientation, bytes) else struct.pack("<HH", int(str(orientation)), 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHI", 1, 0x0112, 3, 1) + value + bytes(4)


def png_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: bytes = b"",
    *,
    before: Sequence[bytes] = (),
    level: int = 6,
) -> bytes:
    """A PNG of these rows (each led by its filter byte). before: whole chunks put before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [
        png_chunk(b"IHDR", header),
        *before,
        png_chunk(b"IDAT", zlib.compress(rows, level)),
        png_chunk(b"IEND"),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def deep_png(samples: Array, colour: int, *, before: Sequence[bytes] = ()) -> bytes:
    """A 16-bit PNG. samples: (H, W) or (H, W, C) uint16."""
    rows = samples.astype(">u2").reshape(len(samples), -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return png(samples.shape[1], samples.shape[0], 16, colour, data, before=before)


def shallow_png(samples: Array, depth: int, *, before: Sequence[bytes] = ()) -> bytes:
    """A grey PNG of 1, 2 or 4 bits. samples: (H, W) of less than 2**depth."""
    bits = samples[..., None] >> np.arange(depth)[::-1] & 1
    rows = np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return png(samples.shape[1], samples.shape[0], depth, 0, data, before=before)


def s15(*numbers: float) -> bytes:
    """The fixed-point numbers of ICC profiles."""
    return b"".join(struct.pack(">i", round(number * 65_536)) for number in numbers)


def profile(space: bytes, tags: dict[bytes, bytes], *, pcs: bytes = b"XYZ ") -> bytes:
    """An ICC version 2 profile."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, kind, space, pcs)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + s15(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def _text(text: str) -> bytes:
    return (
        b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67)
    )


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


def _xyz(*numbers: float) -> bytes:
    return b"XYZ " + bytes(4) + s15(*numbers)


WIDE = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
"""Display P3 to XYZ (D50)."""
_COMMON = {b"desc": _text("Drawn by a test"), b"wtpt": _xyz(0.9642, 1.0, 0.8249)}


def wide_profile(gamma: float = 2.2) -> bytes:
    """The primaries of Display P3 with a plain power curve."""
    columns = {name: _xyz(*WIDE[:, n]) for n, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    curves = {name: _gamma(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return profile(b"RGB ", _COMMON | columns | curves)


def grey_profile(gamma: float) -> bytes:
    return profile(b"GRAY", _COMMON | {b"kTRC": _gamma(gamma)})


INKS = {
    "paper": (0, 0, 0, 0),
    "cyan": (255, 0, 0, 0),
    "magenta": (0, 255, 0, 0),
    "yellow": (0, 0, 255, 0),
    "black": (0, 0, 0, 255),
}
INKS_LAB = {
    "paper": (95, 0, 2),
    "cyan": (60, -30, -40),
    "magenta": (52, 68, -4),
    "yellow": (88, -6, 80),
    "black": (12, 1, 1),
}


def ink_profile() -> bytes:
    """A CMYK profile that says what INKS look like (INKS_LAB); mixtures are made up."""
    grid = []
    for index in range(16):
        inks = [
            name for bit, name in ((8, "cyan"), (4, "magenta"), (2, "yellow"), (1, "black")) if index & bit
        ]
        lab = np.mean([INKS_LAB[name] for name in inks or ["paper"]], axis=0)
        grid += [round(lab[0] * 2.55), round(lab[1] + 128), round(lab[2] + 128)]
    ramp = bytes(range(256))
    table = (
        b"mft1"
        + bytes(4)
        + bytes([4, 3, 2, 0])
        + s15(1, 0, 0, 0, 1, 0, 0, 0, 1)
        + ramp * 4
        + bytes(grid)
        + ramp * 3
    )
    return profile(b"CMYK", _COMMON | {b"A2B0": table, b"A2B1": table}, pcs=b"Lab ")


def srgb_to_lab(rgb: Array) -> Array:
    """(…, 3) uint8 to CIE L*a*b* (D50)."""
    value = rgb.astype(np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return _xyz_to_lab(linear @ SRGB.T)


def wide_to_srgb(rgb: Array, gamma: float = 2.2) -> Array:
    """What a colour-managed viewer shows of wide_profile(gamma)'s colours: (…, 3) uint8."""
    linear = ((rgb / 255.0) ** gamma) @ WIDE.T @ np.linalg.inv(SRGB).T
    return _encoded(linear)


def lab_to_srgb(lab: Sequence[float]) -> Array:
    """(3,) uint8, clipped into sRGB."""
    fy = (lab[0] + 16) / 116
    f = np.array([fy + lab[1] / 500, fy, fy - lab[2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    return _encoded(xyz @ np.linalg.inv(SRGB).T)


SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
"""sRGB to XYZ (D50)."""
D50 = np.array([0.9642, 1.0, 0.8249])


def _encoded(linear: Array) -> Array:
    linear = linear.clip(0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    encoded: Array = (value * 255).round().astype(np.uint8)
    return encoded


def _xyz_to_lab(xyz: Array) -> Array:
    ratio = xyz / D50
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1
    )
