import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postprocess.crop import (
    BeyondPicture,
    Box,
    NoArea,
    around,
    bounded,
    bounding_box,
    crop,
    parse_region,
    rescaled,
    with_margin,
)
from postprocess.lengths import parse_margins


def test_box_of_nothing() -> None:
    assert bounding_box(np.zeros((5, 7), np.float32)) is None


@pytest.mark.parametrize(("level", "seen"), [(10, False), (11, True)])
def test_what_nobody_sees_does_not_count(level: int, seen: bool) -> None:
    alpha = np.zeros((9, 9), np.float32)
    alpha[4, 5] = level / 255
    assert bounding_box(alpha) == (Box(5, 4, 1, 1) if seen else None)


@given(st.integers(0, 19), st.integers(0, 29), st.integers(1, 20), st.integers(1, 30))
def test_box_of_a_rectangle(top: int, left: int, height: int, width: int) -> None:
    alpha = np.zeros((20, 30), np.float32)
    alpha[top : top + height, left : left + width] = 1
    assert bounding_box(alpha) == Box(left, top, min(width, 30 - left), min(height, 20 - top))


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        pytest.param(0, Box(3, 4, 5, 6), id="none"),
        pytest.param(2, Box(1, 2, 9, 10), id="inside"),
        pytest.param(4, Box(0, 0, 12, 14), id="clipped on two sides"),
        pytest.param(99, Box(0, 0, 20, 15), id="clipped on all"),
    ],
)
def test_margin(margin: int, expected: Box) -> None:
    assert with_margin(Box(3, 4, 5, 6), margin, (20, 15)) == expected


def test_crop_slices() -> None:
    pixels = np.arange(10 * 12 * 4, dtype=np.uint8).reshape(10, 12, 4)
    cut = crop(pixels, Box(2, 3, 4, 5))
    assert np.array_equal(cut, pixels[3:8, 2:6])
    assert cut.flags.c_contiguous


def test_crop_beyond_the_picture() -> None:
    rgb = np.arange(1, 1 + 4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    alpha = np.ones((4, 5), np.float32)
    window = Box(-2, -1, 9, 6)
    colours, shown = crop(rgb, window), crop(alpha, window, "constant")
    assert colours.shape == (6, 9, 3)
    assert np.array_equal(colours[1:5, 2:7], rgb)
    assert np.array_equal(colours[0, 0], rgb[0, 0])
    assert np.array_equal(colours[5, 8], rgb[3, 4])
    assert shown.sum() == 20
    assert shown[1:5, 2:7].all()


def test_around_counts_shares_of_the_box() -> None:
    box = around(Box(10, 20, 100, 50), parse_margins("10% 5px 20% 0"))
    assert box == Box(10, 15, 105, 65)
    assert around(Box(0, 0, 10, 10), parse_margins("5")) == Box(-5, -5, 20, 20)


def test_seen_from() -> None:
    assert Box(10, 20, 3, 4).seen_from(Box(-1, 5, 50, 50)) == Box(11, 15, 3, 4)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        pytest.param("0% 0% 100% 100%", Box(0, 0, 200, 100), id="all"),
        pytest.param("0 0 100% 100%", Box(0, 0, 200, 100), id="bare zeros"),
        pytest.param("10px 20px 110px 90px", Box(10, 20, 100, 70), id="px"),
        pytest.param("25% 10 75% 100", Box(50, 10, 100, 90), id="mixed"),
    ],
)
def test_region(text: str, box: Box) -> None:
    assert parse_region(text, (200, 100)) == box


@pytest.mark.parametrize(
    ("text", "error"),
    [
        pytest.param("0 0 201 100", BeyondPicture, id="too wide"),
        pytest.param("0 0 100% 101%", BeyondPicture, id="too high"),
        pytest.param("300 0 400 9", BeyondPicture, id="outside"),
        pytest.param("10 10 10 20", NoArea, id="no width"),
        pytest.param("20 10 10 20", NoArea, id="the wrong way round"),
        pytest.param("0% 0% 0.1% 100%", NoArea, id="less than a pixel"),
    ],
)
def test_regions_that_do_not_fit(text: str, error: type[ValueError]) -> None:
    with pytest.raises(error):
        parse_region(text, (200, 100))


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 60), st.integers(1, 60), st.data())
def test_rescaled_stays_inside(width: int, height: int, wide: int, high: int, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    box = rescaled(Box(left, top, right - left, bottom - top), (width, height), (wide, high))
    assert 0 <= box.left < box.left + box.width <= wide
    assert 0 <= box.top < box.top + box.height <= high


def test_rescaled_there_and_back() -> None:
    small = rescaled(Box(40, 20, 100, 60), (400, 200), (200, 100))
    assert small == Box(20, 10, 50, 30)
    assert rescaled(small, (200, 100), (400, 200)) == Box(40, 20, 100, 60)


@pytest.mark.parametrize(
    ("window", "pixels", "expected"),
    [
        pytest.param(Box(-5, -5, 20, 20), 400, Box(-5, -5, 20, 20), id="just fits"),
        pytest.param(Box(-10, -10, 30, 30), 400, Box(-5, -5, 20, 20), id="half of it"),
        pytest.param(Box(-10, 0, 30, 10), 200, Box(-5, 0, 20, 10), id="on two sides"),
        pytest.param(Box(0, -40, 10, 50), 300, Box(0, -20, 10, 30), id="on one side"),
        pytest.param(Box(-9, -9, 28, 28), 100, Box(0, 0, 10, 10), id="no room at all"),
        pytest.param(Box(-9, -9, 28, 28), 50, Box(0, 0, 10, 10), id="the box is too large itself"),
    ],
)
def test_margins_end_where_there_are_too_many_pixels(window: Box, pixels: int, expected: Box) -> None:
    assert bounded(Box(0, 0, 10, 10), window, pixels) == expected


def test_bounded_margins_never_have_more_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        width, height, *margins = (int(each) for each in rng.integers(1, 60, 6))
        box = Box(0, 0, width, height)
        window = Box(
            -margins[0], -margins[1], width + margins[0] + margins[2], height + margins[1] + margins[3]
        )
        pixels = width * height + int(rng.integers(0, 3000))
        found = bounded(box, window, pixels)
        assert found.width * found.height <= pixels
        assert found == window or found.width * found.height > 0.5 * min(pixels, window.width * window.height)
