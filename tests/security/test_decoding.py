"""Attacks on the decoder: one test, or one named row, for each."""

import contextlib
import json
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from api.errors import CorruptImage, ImageTooLarge, ObjectCutError, PayloadTooLarge, UnsupportedImage
from api.source.decode import decode
from api.source.limits import DecodeLimits
from postprocess.encode import MEDIA_TYPES
from postprocess.encode import encode as encode_pixels
from tests.api.source.files import encode, exif, png, png_chunk, scene

LIMITS = DecodeLimits()
SCENE = scene(96, 128)
EVERY_FORMAT = DecodeLimits(formats=("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "HEIF", "TIFF"))

# The first bytes of what Pillow reads but cannot write, and of two that it leaves to others.
HEADS = {
    "BUFR": b"BUFR",
    "CUR": b"\0\0\2\0",
    "DCX": b"\xb1\x68\xde\x3a",
    "FITS": b"SIMPLE  =                    T",
    "FLI": bytes(4) + b"\x11\xaf" + bytes(120),
    "FPX": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "FTEX": b"FTEX",
    "GBR": bytes([0, 0, 0, 20, 0, 0, 0, 1]),
    "GRIB": b"GRIB\0\0\0\1",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "IMT": b"\x0cImageMagick",
    "IPTC": b"\x1c\2",
    "MCIDAS": bytes(7) + b"\4",
    "MIC": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "MPEG": b"\0\0\1\xb3",
    "PCD": b"PCD_OPA".rjust(2048, b"\0"),
    "PIXAR": b"\x80\xe8\0\0",
    "PSD": b"8BPS\0\1",
    "QOI": b"qoif",
    "SUN": b"\x59\xa6\x6a\x95",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0",
    "XPM": b"/* XPM */",
    "XVTHUMB": b"P7 332",
    "SVG": b"<svg xmlns='x'/>",
}
_PROBE = """
import json, sys
from api.errors import ObjectCutError
from api.source.decode import decode
from api.source.limits import DecodeLimits
for name, text in json.load(sys.stdin).items():
    try:
        decode(bytes.fromhex(text), DecodeLimits())
        print("read", name)
    except ObjectCutError as exc:
        print(exc.code, name)
print("plugins", *sorted(name for name in sys.modules if name.startswith("PIL.") and "ImagePlugin" in name))
"""


def files_of_other_formats() -> dict[str, bytes]:
    """A file, or at least its first bytes, for every plugin that Pillow registers and we do not open."""
    Image.init()
    files: dict[str, bytes] = {}
    for name in Image.OPEN:
        if name in LIMITS.formats or name == "MPO":  # to us an MPO is the JPEG that it begins with
            continue
        for mode in ("RGB", "1", "P"):
            try:
                files[name] = encode(Image.new(mode, (16, 16)), name)
                break
            except (OSError, KeyError, ValueError):
                continue
        else:
            files[name] = HEADS[name]
    return files | {"SVG": HEADS["SVG"]}


class TestDangerousParsers:
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_no_other_plugin_is_even_imported(self) -> None:
        files = {name: data.hex() for name, data in files_of_other_formats().items()}
        assert {"EPS", "PSD", "FITS", "TIFF", "JPEG2000", "SVG", "GIF"} <= set(files)
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            input=json.dumps(files),
            capture_output=True,
            text=True,
            check=True,
        )
        *answers, plugins = done.stdout.splitlines()
        assert sorted(answers) == sorted(f"unsupported_image {name}" for name in files)
        assert plugins == "plugins"

    @pytest.mark.parametrize("format", LIMITS.formats)
    def test_a_foreign_body_behind_our_first_bytes(self, format: str) -> None:
        head = {
            "JPEG": b"\xff\xd8\xff\xe0",
            "PNG": b"\x89PNG\r\n\x1a\n",
            "WEBP": b"RIFF\xff\xff\0\0WEBPVP8 ",
        }[format]
        for body in (encode(SCENE, "TIFF"), b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>", b"", bytes(1_000)):
            with pytest.raises(CorruptImage):
                decode(head + body, LIMITS)


def jpeg_head(width: int, height: int) -> bytes:
    start = b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return (
        start
        + b"\1\x11\0\2\x11\0\3\x11\0"
        + b"\xff\xda"
        + struct.pack(">HB", 12, 3)
        + b"\1\0\2\0\3\0\0\x3f\0"
        + bytes(64)
    )


def webp_head(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    animation = (
        b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + size + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    )
    return b"RIFF" + struct.pack("<I", 4 + len(animation)) + b"WEBP" + animation


class TestBombs:
    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(png(9_000, 9_000, 1, 0), id="png_1_bit_81_megapixels"),
            pytest.param(png(5_001, 5_000, 8, 2), id="png_just_over"),
            pytest.param(png(65_500, 1, 8, 2), id="png_very_wide"),
            pytest.param(png(1, 16_385, 8, 2), id="png_very_tall"),
            pytest.param(png(2**31 - 1, 2**31 - 1, 16, 6), id="png_largest"),
            pytest.param(jpeg_head(65_500, 65_500), id="jpeg_largest"),
            pytest.param(jpeg_head(65_500, 1), id="jpeg_very_wide"),
            pytest.param(webp_head(16_384, 16_384), id="webp_canvas"),
        ],
    )
    def test_refused_by_the_header_before_a_pixel_is_decoded(self, data: bytes) -> None:
        # There are no pixels in these files: whoever went on to decode them would find them corrupt.
        with pytest.raises(ImageTooLarge):
            decode(data, LIMITS)

    def test_the_measured_one(self) -> None:
        rows = zlib.compress(bytes((9_000 // 8 + 1) * 9_000), 9)
        assert len(rows) < 12_000
        with pytest.raises(ImageTooLarge) as caught:
            decode(png(9_000, 9_000, 1, 0, bytes((9_000 // 8 + 1) * 9_000), level=9), LIMITS)
        assert "9000x9000" in caught.value.public

    @pytest.mark.parametrize(("side", "ok"), [(5_000, True), (5_001, False)])
    def test_the_limit_itself_is_allowed(self, side: int, ok: bool) -> None:
        data = png(side, 5_000, 1, 0, bytes((side // 8 + 1) * 5_000))
        if ok:
            assert decode(data, LIMITS).rgb.shape == (5_000, side, 3)
        else:
            with pytest.raises(ImageTooLarge):
                decode(data, LIMITS)

    def test_pillows_own_guard_is_never_off(self) -> None:
        decode(encode(SCENE), DecodeLimits(max_pixels=1_000_000))
        assert Image.MAX_IMAGE_PIXELS == 1_000_000

    def test_a_file_over_the_limit_of_bytes(self) -> None:
        with pytest.raises(PayloadTooLarge):
            decode(encode(SCENE), DecodeLimits(max_bytes=100))

    @pytest.mark.parametrize(
        "chunk",
        [
            pytest.param(b"zTXt" + b"k\0\0" + zlib.compress(bytes(100_000_000), 9), id="ztxt"),
            pytest.param(b"iTXt" + b"k\0\1\0\0\0" + zlib.compress(bytes(100_000_000), 9), id="itxt"),
            pytest.param(b"iCCP" + b"k\0\0" + zlib.compress(bytes(100_000_000), 9), id="iccp"),
            pytest.param(b"eXIf" + exif(6)[6:] + bytes(10_000_000), id="exif"),
            pytest.param(b"tEXt" + b"k\0" + b"x" * 10_000_000, id="text"),
        ],
    )
    def test_metadata_bombs_in_a_png_cost_little(self, chunk: bytes) -> None:
        plain = encode(SCENE, "PNG")
        data = plain[:33] + png_chunk(chunk[:4], chunk[4:]) + plain[33:]
        began = time.process_time()
        with contextlib.suppress(CorruptImage):
            assert decode(data, LIMITS).rgb.size == SCENE.size
        assert time.process_time() - began < 1

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(
                encode(SCENE, "PNG")[:33] + png_chunk(b"tEXt", b"k\0v") * 1_000_000, id="png_chunks"
            ),
            pytest.param(b"\xff\xd8" + b"\xff\xe0\0\2" * 5_000_000, id="jpeg_segments"),
            pytest.param(b"\xff\xd8" + b"\xff" * 20_000_000, id="jpeg_fill_bytes"),
            pytest.param(b"\xff\xd8\xff" + b"\0" * 20_000_000, id="jpeg_zeros"),
        ],
    )
    def test_a_file_made_of_tiny_parts_is_given_up_on(self, data: bytes) -> None:
        began = time.process_time()
        with pytest.raises(CorruptImage):
            decode(data, LIMITS)
        assert time.process_time() - began < 4


class TestAnimations:
    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
    def test_ten_thousand_frames_cost_one(self, format: str) -> None:
        few = [Image.new("RGB", (8, 8), (n, 255 - n, n * 7 % 256)) for n in range(100)]
        options = {"lossless": True} if format == "WEBP" else {}
        data = encode(few[0], format, save_all=True, append_images=few[1:] * 101, **options)
        began = time.process_time()
        picture = decode(data, EVERY_FORMAT)
        assert time.process_time() - began < 0.1
        assert np.abs(picture.rgb.astype(int) - np.asarray(few[0])).max() <= 1

    def test_only_the_first_page(self) -> None:
        pages = [Image.fromarray(SCENE), Image.new("RGB", (5_000, 5_001))]
        data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw")
        assert np.array_equal(decode(data, EVERY_FORMAT).rgb, SCENE)


NOISE = np.random.default_rng(7).integers(0, 200, SCENE.shape[:2], dtype=np.uint16)
CUT = {
    "jpeg": encode(SCENE, "JPEG", quality=90),
    "jpeg_progressive": encode(SCENE, "JPEG", quality=90, progressive=True),
    "jpeg_with_a_thumbnail": encode(SCENE, "JPEG", exif=exif(1) + encode(scene(24, 32))),
    "jpeg_cmyk": encode(Image.fromarray(SCENE).convert("CMYK"), "JPEG"),
    "png": encode(SCENE, "PNG"),
    "png_16": encode(SCENE[..., 0].astype(np.uint16) * 257 + NOISE, "PNG"),
    "webp": encode(SCENE, "WEBP", quality=90),
    "webp_lossless": encode(SCENE, "WEBP", lossless=True),
}


class TestDamage:
    @pytest.mark.parametrize("name", CUT)
    @pytest.mark.parametrize("part", range(1, 32))
    def test_a_cut_file_gives_no_partial_picture(self, name: str, part: int) -> None:
        data = CUT[name]
        with pytest.raises(CorruptImage):
            decode(data[: len(data) * part // 32], LIMITS)

    @pytest.mark.parametrize("name", ["jpeg", "png", "jpeg_progressive", "jpeg_cmyk"])
    def test_zeros_where_the_rest_should_be(self, name: str) -> None:
        data = CUT[name]
        with pytest.raises(CorruptImage):
            decode(data[: len(data) // 2] + bytes(len(data) // 2), LIMITS)

    @pytest.mark.parametrize(
        "tail", [b"<script>MARKER</script>", b"PK\3\4MARKER", b"\xff\xd8\xffMARKER\xff\xd9"]
    )
    @pytest.mark.parametrize("name", ["jpeg", "png", "webp"])
    def test_a_polyglot_is_read_and_its_tail_does_not_survive(self, name: str, tail: bytes) -> None:
        picture = decode(CUT[name] + tail, LIMITS)
        assert np.array_equal(picture.rgb, decode(CUT[name], LIMITS).rgb)
        assert b"MARKER" not in picture.rgb.tobytes()
        assert b"MARKER" not in encode(picture.rgb, "PNG")

    def test_html_is_no_image_whatever_it_is_called(self) -> None:
        with pytest.raises(UnsupportedImage):
            decode(b"<!doctype html><title>404</title>", LIMITS)

    @pytest.mark.parametrize(
        "data",
        [
            pytest.param(b"\xff\xd8\xff\xd9", id="jpeg_of_nothing"),
            pytest.param(jpeg_head(64, 64), id="jpeg_without_tables"),
            pytest.param(jpeg_head(0, 64), id="jpeg_without_width"),
            pytest.param(jpeg_head(64, 0), id="jpeg_without_height"),
            pytest.param(png(0, 0, 8, 2), id="png_of_no_size"),
            pytest.param(png(8, 8, 3, 2, bytes(200)), id="png_depth_3"),
            pytest.param(png(8, 8, 16, 3, bytes(200)), id="png_palette_16"),
            pytest.param(png(8, 8, 8, 3, bytes(72)), id="png_without_palette"),
            pytest.param(png(8, 8, 16, 2, bytes(20)), id="png_16_short"),
            pytest.param(b"RIFF\x04\0\0\0WEBP", id="webp_of_nothing"),
        ],
    )
    def test_nonsense_behind_a_good_start(self, data: bytes) -> None:
        with pytest.raises((CorruptImage, ImageTooLarge)):
            decode(data, LIMITS)

    def test_two_headers_that_disagree(self) -> None:
        """Pillow and OpenCV each read the size for themselves: neither may be told another one."""
        data = encode(SCENE)
        small, large = data.index(b"\xff\xc0"), jpeg_head(16_000, 1_500)
        for at in (small, data.index(b"\xff\xda")):
            with pytest.raises(ObjectCutError):
                decode(data[:at] + large[2:21] + data[at:], LIMITS)


def test_the_versions_that_the_guards_count_on() -> None:
    from PIL import __version__

    assert tuple(map(int, __version__.split(".")[:2])) >= (12, 3)


def test_output_has_no_metadata_of_the_source() -> None:
    secret = exif(1) + b"GPS 52.5200 N"
    picture = decode(encode(SCENE, "JPEG", exif=secret, comment=b"GPS 13.4050 E"), LIMITS)
    for name in MEDIA_TYPES.keys() - {"zip"}:  # which wants transparency, and holds two of these
        assert b"GPS" not in encode_pixels(picture.rgb, name, 90).body
