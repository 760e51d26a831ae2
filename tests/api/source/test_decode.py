"""What decode promises of honest files. tests/security/test_decoding.py has the hostile ones."""

import io
import logging
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydantic import ValidationError

from api.errors import ObjectCutError, UnsupportedImage
from api.source.decode import decode
from api.source.limits import DecodeLimits
from api.types import Picture
from tests.api.source.files import (
    INKS,
    INKS_LAB,
    Array,
    deep_png,
    encode,
    exif,
    grey_profile,
    ink_profile,
    lab_to_srgb,
    png_chunk,
    scene,
    shallow_png,
    srgb_to_lab,
    wide_profile,
    wide_to_srgb,
)

LIMITS = DecodeLimits()
EVERYTHING = DecodeLimits(formats=("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "HEIF", "TIFF"))
SCENE = scene()
GREY = SCENE[..., 1]
RAMP = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
DEEP = (np.arange(48 * 64, dtype=np.uint32) * 65_535 // (48 * 64 - 1)).astype(np.uint16).reshape(48, 64)
DEEP_RGB = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)


def by_257(deep: Array) -> Array:
    eight: Array = np.rint(deep / 257).astype(np.uint8)
    return eight


def three(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=2)


def check(picture: Picture, rgb: Array, alpha: Array | None = None, tolerance: float = 0) -> None:
    """Colours within `tolerance` levels, alpha exactly, and the arrays as promised."""
    assert picture.rgb.shape == rgb.shape
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.flags.c_contiguous
    assert picture.rgb.flags.writeable
    assert np.abs(picture.rgb.astype(int) - rgb).max() <= tolerance
    if alpha is None:
        assert picture.alpha is None
    else:
        assert picture.alpha is not None
        assert picture.alpha.dtype == np.float32
        assert picture.alpha.flags.c_contiguous
        np.testing.assert_allclose(picture.alpha, alpha / 255, atol=1e-6)


LOSSLESS = [
    pytest.param("PNG", {}, id="png"),
    pytest.param("WEBP", {"lossless": True}, id="webp_lossless"),
    pytest.param("BMP", {}, id="bmp"),
    pytest.param("TIFF", {}, id="tiff"),
    pytest.param("TIFF", {"compression": "tiff_lzw"}, id="tiff_lzw"),
]
LOSSY = [
    pytest.param("JPEG", {"quality": 95, "subsampling": 0}, 16, id="jpeg_444"),
    pytest.param("JPEG", {"quality": 95, "progressive": True, "subsampling": 0}, 16, id="jpeg_progressive"),
    pytest.param("JPEG", {"quality": 95, "subsampling": 0, "keep_rgb": True}, 6, id="jpeg_rgb"),
    pytest.param("WEBP", {"quality": 95}, 80, id="webp_lossy"),
    pytest.param("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 6, id="avif"),
    pytest.param("GIF", {}, 60, id="gif"),
]


def key_chunk(sample: Array) -> bytes:
    """The tRNS chunk that makes one 16-bit colour transparent."""
    return png_chunk(b"tRNS", np.asarray(sample, ">u2").tobytes())


def unless(key: Array) -> Array:
    """Opaque but where `key` is true."""
    return np.where(key, 0, 255)


RGBA = np.dstack([SCENE, RAMP])
UNIT = (DEEP / 65_535).astype(np.float32)
RED, DARK = (220, 30, 40), 30
DEEP_FILES = {
    "grey": (deep_png(DEEP, 0), three(by_257(DEEP))),
    "rgb": (deep_png(DEEP_RGB, 2), by_257(DEEP_RGB)),
    "tiff_grey": (encode(DEEP, "TIFF"), three(by_257(DEEP))),
    "tiff_32": (encode(DEEP.astype(np.int32), "TIFF"), three(by_257(DEEP))),
    "tiff_float": (encode(UNIT, "TIFF"), three(by_257(DEEP))),
    "tiff_float_255": (encode(GREY.astype(np.float32), "TIFF"), three(GREY)),
}
ALPHA_FILES = {
    "rgba_png": (encode(RGBA, "PNG"), SCENE, RAMP),
    "rgba_webp": (encode(RGBA, "WEBP", lossless=True, exact=True), SCENE, RAMP),
    "rgba_tiff": (encode(RGBA, "TIFF"), SCENE, RAMP),
    "rgba_16": (deep_png(np.dstack([DEEP_RGB, DEEP]), 6), by_257(DEEP_RGB), by_257(DEEP)),
    "la": (encode(Image.merge("LA", [*map(Image.fromarray, (GREY, RAMP))]), "PNG"), three(GREY), RAMP),
    "la_16": (deep_png(np.dstack([DEEP, DEEP[::-1]]), 4), three(by_257(DEEP)), by_257(DEEP[::-1])),
    "rgb_key": (encode(SCENE, "PNG", transparency=RED), SCENE, unless((SCENE == RED).all(2))),
    "grey_key": (encode(GREY, "PNG", transparency=DARK), three(GREY), unless(GREY == DARK)),
    **{
        f"grey_{depth}_key": (
            shallow_png(GREY >> (8 - depth), depth, before=[key_chunk(np.asarray(1))]),
            three((GREY >> (8 - depth)) * (255 // (2**depth - 1))),
            unless(GREY >> (8 - depth) == 1),
        )
        for depth in (1, 2, 4)
    },
    "grey_16_key": (
        deep_png(DEEP, 0, before=[key_chunk(DEEP[5, 5])]),
        three(by_257(DEEP)),
        unless(DEEP[5, 5] == DEEP),
    ),
    "rgb_16_key": (
        deep_png(DEEP_RGB, 2, before=[key_chunk(DEEP_RGB[5, 5])]),
        by_257(DEEP_RGB),
        unless((DEEP_RGB[5, 5] == DEEP_RGB).all(2)),
    ),
}


class TestColours:
    @pytest.mark.parametrize(("format", "options"), LOSSLESS)
    def test_rgb_is_exact_where_the_file_is(self, format: str, options: dict[str, object]) -> None:
        check(decode(encode(SCENE, format, **options), EVERYTHING), SCENE)

    @pytest.mark.parametrize(("format", "options", "tolerance"), LOSSY)
    def test_rgb_is_close_where_the_file_is_lossy(
        self, format: str, options: dict[str, object], tolerance: int
    ) -> None:
        picture = decode(encode(SCENE, format, **options), EVERYTHING)
        check(picture, SCENE, tolerance=tolerance)
        assert np.abs(picture.rgb.astype(int) - SCENE).mean() < tolerance / 4

    @pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP"])
    def test_grey(self, format: str) -> None:
        check(decode(encode(GREY, format), EVERYTHING), three(GREY))

    def test_grey_jpeg(self) -> None:
        check(decode(encode(GREY, "JPEG", quality=100), LIMITS), three(GREY), tolerance=3)

    def test_bilevel(self) -> None:
        image = Image.fromarray(GREY).convert("1")
        check(decode(encode(image, "PNG"), LIMITS), three(np.asarray(image).astype(np.uint8) * 255))

    @pytest.mark.parametrize("bits", [1, 2, 4, 8])
    def test_palette(self, bits: int) -> None:
        image = Image.fromarray(SCENE).quantize(2**bits)
        check(decode(encode(image, "PNG", bits=bits), LIMITS), np.asarray(image.convert("RGB")))

    def test_cmyk_without_a_profile_is_light_times_light(self) -> None:
        inks = np.stack([SCENE[..., 0], SCENE[..., 1], SCENE[..., 2], RAMP // 2], axis=2)
        expected = (255.0 - inks[..., :3]) * (255.0 - inks[..., 3:]) / 255
        data = encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0)
        assert b"Adobe" in data  # which means that the file's values are inverted
        check(decode(data, LIMITS), expected, tolerance=8)
        check(decode(encode(Image.fromarray(inks, "CMYK"), "TIFF"), EVERYTHING), expected, tolerance=1)

    def test_ycck_is_cmyk_by_another_transform(self) -> None:
        inks = np.stack([SCENE[..., 0], SCENE[..., 1], SCENE[..., 2], np.zeros_like(RAMP)], axis=2)
        # Pillow writes no YCCK, but it is this: the inks' YCbCr, K inverted, and the flag that says so.
        stored = np.dstack([np.asarray(Image.fromarray(inks[..., :3]).convert("YCbCr")), 255 - inks[..., 3]])
        data = encode(Image.fromarray(255 - stored, "CMYK"), "JPEG", quality=100, subsampling=0)
        at = data.index(b"Adobe") + 11
        data = data[:at] + b"\x02" + data[at + 1 :]
        check(decode(data, LIMITS), 255 - inks[..., :3], tolerance=8)

    @pytest.mark.parametrize(("data", "rgb"), DEEP_FILES.values(), ids=DEEP_FILES)
    def test_deep_samples_are_divided_by_257(self, data: bytes, rgb: Array) -> None:
        check(decode(data, EVERYTHING), rgb)

    def test_float_samples_that_are_no_numbers(self) -> None:
        odd = np.full((4, 4), 0.5, np.float32)
        odd[0, 0], odd[1, 1], odd[2, 2] = np.nan, np.inf, -np.inf
        grey = decode(encode(Image.fromarray(odd), "TIFF"), EVERYTHING).rgb[..., 0]
        assert (grey[0, 0], grey[1, 1], grey[2, 2], grey[3, 3]) == (0, 255, 0, 128)


class TestAlpha:
    @pytest.mark.parametrize(("data", "rgb", "alpha"), ALPHA_FILES.values(), ids=ALPHA_FILES)
    def test_it_comes_apart_and_hidden_colours_stay(self, data: bytes, rgb: Array, alpha: Array) -> None:
        check(decode(data, EVERYTHING), rgb, alpha)

    @pytest.mark.parametrize("table", [b"\x00\x80\xff", 1], ids=["a_value_each", "one_colour"])
    def test_palettes_with_transparency(self, table: bytes | int) -> None:
        image = Image.fromarray(SCENE).quantize(4)
        index = np.asarray(image)
        alpha = (
            np.array([*table, 255])[index] if isinstance(table, bytes) else np.where(index == table, 0, 255)
        )
        check(
            decode(encode(image, "PNG", transparency=table), LIMITS), np.asarray(image.convert("RGB")), alpha
        )

    def test_one_that_hides_nothing_is_none(self) -> None:
        assert decode(encode(np.dstack([SCENE, np.full_like(RAMP, 255)]), "PNG"), LIMITS).alpha is None


TURNS: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


class TestOrientation:
    @pytest.mark.parametrize("orientation", TURNS)
    @pytest.mark.parametrize(
        ("format", "options", "tolerance"),
        [
            pytest.param("JPEG", {"quality": 95, "subsampling": 0}, 16, id="jpeg"),
            pytest.param("PNG", {}, 0, id="png"),
            pytest.param("WEBP", {"lossless": True}, 0, id="webp"),
            pytest.param("TIFF", {}, 0, id="tiff"),
            pytest.param("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 6, id="avif"),
        ],
    )
    def test_the_picture_is_upright(
        self, orientation: int, format: str, options: dict[str, object], tolerance: int
    ) -> None:
        data = encode(SCENE, format, exif=exif(orientation), **options)
        check(decode(data, EVERYTHING), TURNS[orientation](SCENE), tolerance=tolerance)

    @pytest.mark.parametrize("orientation", TURNS)
    def test_the_alpha_turns_along(self, orientation: int) -> None:
        data = encode(np.dstack([SCENE, RAMP]), "PNG", exif=exif(orientation))
        check(decode(data, LIMITS), TURNS[orientation](SCENE), TURNS[orientation](RAMP))

    @pytest.mark.parametrize("orientation", TURNS)
    def test_the_slow_path_turns_too(self, orientation: int) -> None:
        data = encode(SCENE, "PNG", icc_profile=wide_profile(), exif=exif(orientation))
        check(decode(data, LIMITS), TURNS[orientation](wide_to_srgb(SCENE)), tolerance=2)

    @pytest.mark.parametrize(
        "block",
        [
            pytest.param(exif(0), id="0"),
            pytest.param(exif(9), id="9"),
            pytest.param(exif(65_535), id="65535"),
            pytest.param(b"Exif\0\0", id="empty"),
            pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="beyond_the_end"),
            pytest.param(b"Exif\0\0" + bytes(40), id="zeros"),
            pytest.param(b"Exif\0\0garbage" * 50, id="garbage"),
            pytest.param(exif(6)[:20], id="cut"),
        ],
    )
    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
    @pytest.mark.filterwarnings("ignore::UserWarning:PIL")
    def test_anything_else_means_upright(self, block: bytes, format: str) -> None:
        assert decode(encode(SCENE, format, exif=block), LIMITS).rgb.shape == SCENE.shape


class TestProfiles:
    @pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
    def test_wide_gamut_comes_within_two_delta_e(self, format: str) -> None:
        options = {"lossless": True} if format == "WEBP" else {"quality": 100, "subsampling": 0}
        data = encode(SCENE, format, icc_profile=wide_profile(), **({} if format == "PNG" else options))
        found, expected = srgb_to_lab(decode(data, LIMITS).rgb), srgb_to_lab(wide_to_srgb(SCENE))
        difference = np.linalg.norm(found - expected, axis=2)
        assert difference.max() <= (4 if format == "JPEG" else 2)
        assert difference.mean() <= 1
        assert np.linalg.norm(srgb_to_lab(SCENE) - expected, axis=2).mean() > 3  # the profile does matter

    def test_deep_wide_gamut(self) -> None:
        data = deep_png(SCENE.astype(np.uint16) * 257, 2)
        data = (
            data[:33]
            + encode(SCENE, "PNG", icc_profile=wide_profile())[33:].partition(b"IDAT")[0][:-4]
            + data[33:]
        )
        check(decode(data, LIMITS), wide_to_srgb(SCENE), tolerance=2)

    def test_grey_with_a_curve(self) -> None:
        picture = decode(encode(GREY, "PNG", icc_profile=grey_profile(1.0)), LIMITS)
        linear = GREY / 255
        expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
        check(picture, three(expected.round()), tolerance=2)

    @pytest.mark.parametrize("ink", INKS)
    def test_inks_look_as_the_profile_says(self, ink: str) -> None:
        sheet = Image.fromarray(np.tile(np.array(INKS[ink], np.uint8), (16, 16, 1)), "CMYK")
        data = encode(sheet, "JPEG", quality=100, icc_profile=ink_profile())
        paper = srgb_to_lab(lab_to_srgb(INKS_LAB[ink]))
        assert (
            np.linalg.norm(srgb_to_lab(decode(data, LIMITS).rgb[8, 8]) - paper) <= 6
        )  # paper white maps to white

    def test_transparency_survives_the_conversion(self) -> None:
        picture = decode(encode(np.dstack([SCENE, RAMP]), "PNG", icc_profile=wide_profile()), LIMITS)
        check(picture, wide_to_srgb(SCENE), RAMP, tolerance=2)

    def test_srgb_itself_is_left_alone(self) -> None:
        data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        check(decode(encode(SCENE, "PNG", icc_profile=data), LIMITS), SCENE)

    @pytest.mark.parametrize(
        "block",
        [
            pytest.param(b"not a profile", id="garbage"),
            pytest.param(wide_profile()[:200], id="cut"),
            pytest.param(grey_profile(2.2), id="for_grey"),
            pytest.param(ink_profile(), id="for_cmyk"),
            pytest.param(wide_profile() + bytes(1_000_000), id="over_a_megabyte"),
        ],
    )
    def test_one_that_cannot_be_used_is_taken_for_srgb_with_a_warning(
        self, block: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        check(decode(encode(SCENE, "WEBP", lossless=True, icc_profile=block), LIMITS), SCENE)
        assert "ICC profile ignored" in caplog.text


class TestFastPath:
    @pytest.mark.parametrize("subsampling", [0, 1, 2])
    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("size", [(1, 1), (7, 9), (17, 16), (241, 319)])
    def test_equals_pillow_bit_for_bit(
        self, subsampling: int, progressive: bool, size: tuple[int, int]
    ) -> None:
        data = encode(scene(*size), "JPEG", subsampling=subsampling, progressive=progressive, quality=88)
        with Image.open(io.BytesIO(data)) as image:
            check(decode(data, LIMITS), np.asarray(image))

    def test_twelve_megapixels_cost_little(self) -> None:
        pixels = np.tile(scene(300, 400), (10, 10, 1))
        data = encode(pixels, "JPEG", quality=90)
        began = time.thread_time()
        assert decode(data, LIMITS).rgb.shape == (3000, 4000, 3)
        assert time.thread_time() - began < 0.5


class TestSettings:
    @pytest.mark.parametrize("format", ["AVIF", "BMP", "GIF", "HEIF", "TIFF"])
    def test_the_rest_is_read_on_request(self, format: str) -> None:
        if format == "HEIF":
            from pillow_heif import from_pillow

            file = io.BytesIO()
            from_pillow(Image.fromarray(SCENE)).save(file, quality=100, chroma=444)
            data = file.getvalue()
        else:
            data = encode(SCENE, format)
        with pytest.raises(UnsupportedImage, match=format) as caught:
            decode(data, LIMITS)
        assert caught.value.public.endswith("We read JPEG, PNG, WEBP.")
        assert decode(data, DecodeLimits(formats=(format,))).rgb.shape == SCENE.shape

    @pytest.mark.parametrize(
        "setting",
        [
            {"formats": ()},
            {"formats": ("EPS",)},
            {"max_pixels": 0},
            {"max_side": 0},
            {"max_bytes": 0},
            {"sides": 3},
        ],
        ids=lambda setting: next(iter(setting)),
    )
    def test_a_wrong_setting_is_refused(self, setting: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            DecodeLimits(**setting)

    @pytest.mark.parametrize("data", [b"", b"\xff", b"\x89PNG", b"RIFF\0\0\0\0WEB", b"hello" * 100])
    def test_what_is_no_image_at_all(self, data: bytes) -> None:
        with pytest.raises(ObjectCutError) as caught:
            decode(data, LIMITS)
        assert type(caught.value) is UnsupportedImage
