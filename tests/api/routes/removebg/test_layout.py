"""What region, crop, margins, scale, position and shadow do to pixels."""

import cv2
import numpy as np
import pytest

from api.errors import NoSubject
from api.options import CutoutOptions
from api.routes.removebg.layout import Layout
from api.types import Picture
from postprocess.crop import Box, bounding_box
from postprocess.lengths import parse_margins
from postprocess.types import Alpha
from tests.api.routes.removebg.conftest import Client
from tests.api.routes.removebg.sent import unzipped

WISH = CutoutOptions()
RED = (220, 30, 40)


def picture() -> Picture:
    """A red square of 40 x 40 px in a green picture of 200 x 100."""
    rgb = np.empty((100, 200, 3), np.uint8)
    rgb[:] = (10, 200, 90)
    rgb[30:70, 120:160] = RED
    return Picture(rgb)


def matte() -> Alpha:
    """The square's, as a network of the picture's own size gives it."""
    alpha = np.zeros((100, 200), np.float32)
    alpha[30:70, 120:160] = 1
    return alpha


def made(layout: Layout, wish: CutoutOptions = WISH, source: Picture | None = None) -> tuple[Alpha, Box]:
    """The result's alpha, and the box that is told."""
    source = source or picture()
    canvas = layout.compose(source, matte(), None, wish)
    assert canvas.box is not None
    return canvas.pixels[..., 3].astype(np.float32) / np.float32(255), canvas.box


SQUARE = Box(120, 30, 40, 40)


def test_nothing_is_asked() -> None:
    canvas = Layout(format="png").compose(picture(), matte(), None, WISH)
    assert canvas.pixels.shape == (100, 200, 4)
    assert canvas.box == SQUARE
    assert np.array_equal(canvas.pixels[30:70, 120:160, :3], picture().rgb[30:70, 120:160])


class TestRegion:
    def test_the_network_sees_nothing_else(self) -> None:
        seen = Layout(roi="100px 20px 100% 80%").look(picture())
        assert np.array_equal(seen, picture().rgb[20:80, 100:200])

    def test_there_is_nothing_outside(self) -> None:
        layout = Layout(roi="100px 20px 140px 80px")
        alpha = layout.refine(picture(), np.ones((8, 8), np.float32), WISH)
        assert alpha.shape == (100, 200)
        assert alpha[20:80, 100:140].min() == 1
        alpha[20:80, 100:140] = 0
        assert not alpha.any()

    def test_of_a_smaller_result(self) -> None:
        layout = Layout(roi="50% 0 100% 100%", megapixels=0.005)
        alpha = layout.refine(picture(), np.ones((8, 8), np.float32), WISH)
        assert alpha.shape == (50, 100)
        assert (alpha[:, :50].max(), alpha[:, 50:].min()) == (0, 1)

    @pytest.mark.parametrize("side", [1, 2, 3])
    def test_tiny_pictures(self, side: int) -> None:
        tiny = Picture(np.full((side, side, 3), 9, np.uint8))
        layout = Layout(roi="0 0 1px 1px")
        alpha = layout.refine(tiny, np.ones((8, 8), np.float32), WISH)
        assert alpha.shape == (side, side)
        assert layout.compose(tiny, alpha, None, WISH).box == Box(0, 0, 1, 1)


class TestCrop:
    def test_tight(self) -> None:
        alpha, box = made(Layout(crop=True, format="png"))
        assert alpha.shape == (40, 40)
        assert alpha.min() == 1
        assert box == SQUARE

    @pytest.mark.parametrize(
        ("margins", "shape"),
        [
            pytest.param("10px", (60, 60), id="one"),
            pytest.param("10% 25%", (48, 60), id="two, of the subject"),
            pytest.param("1 2 3 4", (44, 46), id="four"),
            pytest.param("50%", (80, 80), id="half"),
            pytest.param("80px", (200, 200), id="beyond the picture on every side"),
        ],
    )
    def test_margins(self, margins: str, shape: tuple[int, int]) -> None:
        layout = Layout(crop=True, margins=parse_margins(margins), format="png")
        alpha, _ = made(layout)
        assert alpha.shape == shape
        assert alpha.sum() == 1600

    def test_margins_end_at_the_results_size(self) -> None:
        layout = Layout(crop=True, margins=parse_margins("80px"), megapixels=0.02, format="png")
        alpha, _ = made(layout)
        assert 0.95 * 20_000 < alpha.size <= 20_000
        assert alpha.sum() == 1600

    def test_margins_without_crop_are_nothing(self) -> None:
        assert made(Layout(margins=parse_margins("9px"), format="png"))[0].shape == (100, 200)


class TestPlace:
    def test_the_middle(self) -> None:
        alpha, box = made(Layout(position=(0.5, 0.5), format="png"))
        assert bounding_box(alpha) == Box(80, 30, 40, 40)
        assert box == SQUARE

    def test_as_large_as_may_be(self) -> None:
        alpha, _ = made(Layout(scale=1.0, position=(1.0, 0.5), format="png"))
        assert bounding_box(alpha, 0.5) == Box(100, 0, 100, 100)

    def test_in_a_crop(self) -> None:
        layout = Layout(crop=True, margins=parse_margins("20px"), position=(0.0, 0.0), format="png")
        alpha, _ = made(layout)
        assert alpha.shape == (80, 80)
        assert bounding_box(alpha) == Box(0, 0, 40, 40)


class TestSize:
    def test_the_result_is_smaller_and_the_box_is_not(self) -> None:
        layout = Layout(megapixels=0.005, format="png")
        alpha = layout.refine(picture(), matte(), WISH)
        canvas = layout.compose(picture(), alpha, None, WISH)
        assert canvas.pixels.shape == (50, 100, 4)
        assert canvas.box is not None
        assert np.abs(np.array(canvas.box) - SQUARE).max() <= 8

    def test_a_source_s_own_transparency_is_scaled_with_it(self) -> None:
        half = np.ones((100, 200), np.float32)
        half[:, 140:] = 0
        source = Picture(picture().rgb, half)
        layout = Layout(megapixels=0.005, format="png")
        canvas = layout.compose(source, layout.refine(source, matte(), WISH), None, WISH)
        assert canvas.box is not None
        assert canvas.box.left + canvas.box.width == pytest.approx(140, abs=6)


@pytest.mark.parametrize("kind", ["drop", "ground"])
def test_a_shadow_is_dark_and_only_where_there_was_nothing(kind: str) -> None:
    plain = Layout(format="png").compose(picture(), matte(), None, WISH).pixels
    shaded = Layout(shadow=kind, format="png").compose(picture(), matte(), None, WISH).pixels  # type: ignore[arg-type]
    subject = plain[..., 3] == 255
    assert np.array_equal(shaded[subject], plain[subject])
    new = (shaded[..., 3] > 0) & ~subject
    assert new.any()
    assert shaded[new][:, :3].max() == 0
    assert shaded[new][:, 3].max() <= 128


def test_a_shadow_falls_on_a_background() -> None:
    wish = CutoutOptions(background="white")
    plain = Layout().compose(picture(), matte(), None, wish).pixels
    shaded = Layout(shadow="drop", opacity=0.5).compose(picture(), matte(), None, wish).pixels
    assert shaded.shape == (100, 200, 3)
    assert np.array_equal(shaded[35:65, 125:155], plain[35:65, 125:155])
    assert 110 < shaded[50, 160].min() < 240


def test_nobody_is_there() -> None:
    with pytest.raises(NoSubject):
        Layout().compose(picture(), np.zeros((100, 200), np.float32), None, WISH)


@pytest.mark.parametrize(
    ("wish", "format"),
    [
        pytest.param(CutoutOptions(), "png", id="transparency"),
        pytest.param(CutoutOptions(background="red"), "jpeg", id="none"),
        pytest.param(CutoutOptions(background="#f008"), "png", id="half"),
        pytest.param(CutoutOptions(output="alpha"), "png", id="the matte"),
    ],
)
def test_auto(wish: CutoutOptions, format: str) -> None:
    assert Layout().compose(picture(), matte(), None, wish).format == format


def test_zip_has_four_channels_whatever_is_behind() -> None:
    behind = Picture(np.asarray(cv2.merge([np.full((9, 9), 7, np.uint8)] * 3), np.uint8))
    canvas = Layout(format="zip").compose(picture(), matte(), behind, WISH)
    assert canvas.format == "zip"
    assert canvas.pixels.shape == (100, 200, 4)
    assert canvas.pixels[..., 3].min() == 255


async def test_zip_over_nothing_is_a_zip_without_a_background(client: Client) -> None:
    plain, clear = [
        unzipped((await client.remove(format="zip", **fields)).content)
        for fields in ({}, {"bg_color": "ffffff00"})
    ]
    assert all(np.array_equal(one, other) for one, other in zip(plain, clear, strict=True))
