"""Which of postprocess' functions the options choose. What these do is tested with them."""

import numpy as np
import pytest

from api.errors import InvalidOptions
from api.finishing import Canvas, compose, encode, refine
from api.options import CutoutOptions
from api.types import Picture
from postprocess.objectcut import objectcut
from postprocess.types import RGB, Alpha


def picture(height: int = 40, width: int = 60) -> Picture:
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = (10, 200, 90)
    rgb[10:30, 15:45] = (220, 30, 40)
    return Picture(rgb)


def matte() -> Alpha:
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:15, 5:15] = 1
    alpha[5:15, 15] = 0.5
    return alpha


def test_objectcut_is_the_original_s_bytes() -> None:
    alpha = refine(picture(), matte(), CutoutOptions(edges="objectcut", refine=True))
    assert np.array_equal(alpha, objectcut(matte(), (60, 40)))


@pytest.mark.parametrize("edges", ["soft", "sharp", "objectcut"])
@pytest.mark.parametrize("follow", [True, False])
def test_the_matte_is_the_picture_s_size(edges: str, follow: bool) -> None:
    alpha = refine(picture(), matte(), CutoutOptions.model_validate({"edges": edges, "refine": follow}))
    assert alpha.shape == (40, 60)
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_morphology_comes_first() -> None:
    gone = CutoutOptions(morphology=("erode",), radius=8, refine=False)
    assert refine(picture(), matte(), gone).max() == 0


def opaque(alpha: Alpha) -> Alpha:
    return (alpha > 0.5).astype(np.float32)


def test_original_pixels_are_never_changed_where_the_subject_is_opaque() -> None:
    source = picture()
    canvas = compose(source, refine(source, matte(), CutoutOptions()), None, CutoutOptions())
    alpha = canvas.pixels[..., 3]
    assert ((alpha > 0) & (alpha < 255)).any()
    assert np.array_equal(canvas.pixels[alpha == 255][:, :3], source.rgb[alpha == 255])
    assert not canvas.pixels[alpha == 0].any()


@pytest.mark.parametrize("colour", ["transparent", "#ffffff00"])
def test_a_transparent_background_is_none(colour: str) -> None:
    plain = CutoutOptions(format="webp")
    wish = CutoutOptions(format="webp", background=colour)
    alpha = refine(picture(), matte(), plain)
    one, other = (compose(picture(), alpha, None, each).pixels for each in (plain, wish))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "format", "channels"),
    [
        pytest.param({}, "png", 4, id="a cutout"),
        pytest.param({"output": "alpha"}, "png", 1, id="alpha"),
        pytest.param({"output": "foreground"}, "png", 3, id="foreground"),
        pytest.param({"background": "white"}, "jpeg", 3, id="over a colour"),
        pytest.param({"background": "#fff8"}, "png", 4, id="over half a colour"),
        pytest.param({"background": "blur"}, "jpeg", 3, id="over blur"),
        pytest.param({"background": "white", "format": "png"}, "png", 3, id="as asked"),
    ],
)
def test_default_formats(options: dict[str, str], format: str, channels: int) -> None:
    wish = CutoutOptions.model_validate(options)
    canvas = compose(picture(), refine(picture(), matte(), wish), None, wish)
    assert canvas.format == format
    assert (1 if canvas.pixels.ndim == 2 else canvas.pixels.shape[2]) == channels


@pytest.mark.parametrize(
    ("options", "hidden_colours"),
    [
        pytest.param({"format": "png"}, False, id="png"),
        pytest.param({"format": "webp"}, True, id="lossy webp"),
        pytest.param({"format": "webp", "quality": 100}, False, id="lossless webp"),
        pytest.param({"format": "avif"}, True, id="avif"),
        pytest.param({"format": "zip", "quality": 100}, True, id="zip"),
    ],
)
def test_only_lossy_codecs_see_hidden_colours(options: dict[str, object], hidden_colours: bool) -> None:
    wish = CutoutOptions.model_validate(options)
    canvas = compose(picture(), opaque(refine(picture(), matte(), wish)), None, wish)
    corner = canvas.pixels[0, 0].tolist()
    assert corner[3] == 0
    assert any(corner[:3]) is hidden_colours


def test_the_box_is_the_subject_s_whatever_is_removed() -> None:
    wishes = [CutoutOptions(), CutoutOptions(to_remove="foreground"), CutoutOptions(output="mask")]
    boxes = {compose(picture(), refine(picture(), matte(), wish), None, wish).box for wish in wishes}
    assert len(boxes) == 1


def test_a_transparent_part_of_the_source_is_no_subject() -> None:
    half: Alpha = np.ones((40, 60), np.float32)
    half[:, 30:] = 0
    source = Picture(picture().rgb, half)
    for wish, right in ((CutoutOptions(), 30), (CutoutOptions(source_alpha="ignore"), 47)):
        box = compose(source, refine(source, matte(), wish), None, wish).box
        assert box
        assert box.left + box.width == pytest.approx(right, abs=3)


def round_matte(radius: float) -> Alpha:
    y, x = np.mgrid[0:40, 0:60].astype(np.float32)
    matte: Alpha = np.clip(radius - np.hypot(x - 30, y - 20), 0, 1)
    return matte


@pytest.mark.parametrize("hidden", [0, 255])
@pytest.mark.parametrize("radius", [pytest.param(14.5, id="wider"), pytest.param(12.5, id="the same edge")])
def test_colours_of_a_transparent_source_are_the_subject_s_own(hidden: int, radius: float) -> None:
    shown = round_matte(12.5)
    rgb: RGB = np.full((40, 60, 3), hidden, np.uint8)
    rgb[shown > 0] = (180, 90, 60)
    pixels = compose(Picture(rgb, shown), round_matte(radius), None, CutoutOptions()).pixels
    soft = (pixels[..., 3] > 0) & (pixels[..., 3] < 255)
    assert soft.any()
    assert np.array_equal(pixels[soft][:, :3], rgb[soft])


def test_a_source_that_is_hardly_transparent_is_a_photograph() -> None:
    matte = round_matte(12.5)
    rgb = np.rint(matte[..., None] * (200, 40, 40) + (1 - matte[..., None]) * (10, 200, 90)).astype(np.uint8)
    nearly: Alpha = np.full((40, 60), 254 / 255, np.float32)
    plain, hazy = (
        compose(Picture(rgb, alpha), matte, None, CutoutOptions()).pixels for alpha in (None, nearly)
    )
    shown = hazy[..., 3] > 0
    assert np.array_equal(plain[shown][:, :3], hazy[shown][:, :3])


def test_what_a_format_cannot_hold_is_the_caller_s_business() -> None:
    long: RGB = np.zeros((1, 17_000, 3), np.uint8)
    with pytest.raises(InvalidOptions, match="webp"):
        encode(Canvas(long, None, "webp"), CutoutOptions(format="webp"))
