import io
import zipfile

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from postprocess.compose import cutout, with_alpha
from postprocess.encode import MEDIA_TYPES, Format, encode
from postprocess.foreground import extend
from tests.postprocess.drawn import disc, natural

ALPHA = disc(96, 8)
RGB = natural(96, 96, 1, (150, 100, 80), 25).astype(np.uint8)
RGBA = cutout(RGB, ALPHA)


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_facts_and_determinism(name: Format) -> None:
    first, second = encode(RGBA[:80], name), encode(RGBA[:80], name)
    assert first == second
    assert (first.width, first.height, first.media_type) == (96, 80, MEDIA_TYPES[name])


@pytest.mark.parametrize(
    ("name", "kind", "tolerance"), [("png", "PNG", 0), ("webp", "WEBP", 12), ("avif", "AVIF", 12)]
)
def test_alpha_survives(name: Format, kind: str, tolerance: int) -> None:
    with Image.open(io.BytesIO(encode(RGBA, name).body)) as image:
        read = np.asarray(image.convert("RGBA")).astype(int)
        assert image.format == kind
        assert not image.info.get("icc_profile")
        assert not image.getexif()
    assert np.abs(read[..., 3] - RGBA[..., 3]).mean() <= tolerance / 8
    assert np.abs(read - RGBA)[ALPHA == 1].mean() <= tolerance


def test_webp_of_quality_100_is_exact_where_it_shows() -> None:
    read = np.asarray(Image.open(io.BytesIO(encode(RGBA, "webp", 100).body)))
    assert np.array_equal(read[RGBA[..., 3] > 0], RGBA[RGBA[..., 3] > 0])


@pytest.mark.parametrize("name", ["webp", "jpeg", "avif"])
def test_quality_is_bytes_for_likeness(name: Format) -> None:
    low, high = (encode(RGB, name, quality).body for quality in (50, 95))
    errors = [np.abs(np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int) - RGB).mean()
              for body in (low, high)]  # fmt: skip
    assert len(low) < 0.8 * len(high)
    assert errors[0] > 1.5 * errors[1]


def test_jpeg_keeps_all_of_its_chroma() -> None:
    image = Image.open(io.BytesIO(encode(RGB, "jpeg", 90).body))
    assert JpegImagePlugin.get_sampling(image) == 0


def test_jpeg_lies_over_white() -> None:
    image = Image.open(io.BytesIO(encode(RGBA, "jpeg").body))
    assert image.mode == "RGB"
    assert np.asarray(image)[:10, :10].min() >= 250


@pytest.mark.parametrize("name", ["png", "webp", "jpeg", "avif"])
@pytest.mark.parametrize("pixels", [RGB, RGBA[..., 3]], ids=["rgb", "grey"])
def test_opaque_pictures(name: Format, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    with Image.open(io.BytesIO(encode(np.ascontiguousarray(pixels), name).body)) as image:
        assert image.size == (96, 96)
        assert (
            np.abs(
                np.asarray(image.convert("L")).mean()
                - np.asarray(Image.fromarray(pixels).convert("L")).mean()
            )
            < 2
        )


def test_zip_holds_colour_and_grey_alpha_stored() -> None:
    full = with_alpha(extend(RGB, ALPHA), ALPHA)
    with zipfile.ZipFile(io.BytesIO(encode(full, "zip").body)) as archive:
        assert [(entry.filename, entry.compress_type) for entry in archive.infolist()] == [
            ("color.jpg", zipfile.ZIP_STORED),
            ("alpha.png", zipfile.ZIP_STORED),
        ]
        alpha = Image.open(io.BytesIO(archive.read("alpha.png")))
        colour = Image.open(io.BytesIO(archive.read("color.jpg")))
    assert (alpha.mode, colour.mode) == ("L", "RGB")
    assert np.array_equal(np.asarray(alpha), full[..., 3])
    assert alpha.size == colour.size


@pytest.mark.parametrize(
    ("shape", "name", "message"),
    [
        pytest.param((1, 16_384, 3), "webp", "16383", id="webp, too wide"),
        pytest.param((65_536, 1, 3), "jpeg", "65535", id="jpeg, too high"),
        pytest.param((4, 4, 3), "zip", "RGBA", id="zip without alpha"),
    ],
)
def test_what_a_format_cannot_hold(shape: tuple[int, ...], name: Format, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(np.zeros(shape, np.uint8), name)
