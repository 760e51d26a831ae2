"""Smaller pictures, and subjects that move."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postprocess.crop import Box, bounding_box
from postprocess.place import fitted, place, resample
from postprocess.types import RGB, Alpha

RED, GREEN = (220, 30, 40), (10, 200, 90)


def scene(width: int = 60, height: int = 40, box: Box | None = None) -> tuple[RGB, Alpha, Box]:
    """A red rectangle on green, and its matte."""
    box = box or Box(10, 5, 20, 10)
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = GREEN
    alpha = np.zeros((height, width), np.float32)
    there = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    rgb[there], alpha[there] = RED, 1
    return rgb, alpha, box


@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([0.25, 1.5, 25.0]))
def test_fitted_holds_the_limit(width: int, height: int, megapixels: float) -> None:
    across, down = fitted((width, height), megapixels)
    assert 1 <= across <= width
    assert 1 <= down <= height
    assert across * down <= megapixels * 1e6 or 1 in (across, down)
    if width * height <= megapixels * 1e6:
        assert (across, down) == (width, height)
    elif min(across, down) > 50:
        assert across / down == pytest.approx(width / height, rel=0.03)


def test_resample_lets_no_hidden_colour_in() -> None:
    rgb, alpha, _ = scene()
    small, matte = resample(rgb, alpha, (21, 13))
    assert matte is not None
    assert small.shape == (13, 21, 3)
    assert matte.shape == (13, 21)
    soft = (matte > 0.05) & (matte < 0.95)
    assert soft.any()
    assert np.abs(small[soft].astype(int) - RED).max() <= 1


def test_an_enlarged_subject_keeps_its_colour_up_to_its_edge() -> None:
    rgb, alpha, _ = scene()
    large, matte = resample(rgb, alpha, (240, 160))
    assert matte is not None
    assert (matte.min(), matte.max()) == (0, 1)
    assert np.abs(large[matte > 0.05].astype(int) - RED).max() <= 1


def test_resample_without_transparency() -> None:
    small, matte = resample(scene()[0], None, (30, 20))
    assert small.shape == (20, 30, 3)
    assert matte is None


@pytest.mark.parametrize(
    ("position", "corner"),
    [
        pytest.param((0.0, 0.0), (0, 0), id="top left"),
        pytest.param((1.0, 1.0), (40, 30), id="bottom right"),
        pytest.param((0.5, 0.5), (20, 15), id="the middle"),
        pytest.param(None, (10, 5), id="where it was"),
    ],
)
def test_a_subject_that_moves_keeps_its_pixels(
    position: tuple[float, float] | None, corner: tuple[int, int]
) -> None:
    rgb, alpha, box = scene()
    rgb[5:15, 10:30] = np.random.default_rng(0).integers(0, 256, (10, 20, 3), np.uint8)
    colours, shown = place(rgb, alpha, box, None, position)
    assert bounding_box(shown) == Box(*corner, 20, 10)
    left, top = corner
    assert np.array_equal(colours[top : top + 10, left : left + 20], rgb[5:15, 10:30])


@pytest.mark.parametrize(
    ("scale", "size"),
    [
        pytest.param(1.0, (60, 30), id="as wide as the canvas"),
        pytest.param(0.5, (30, 15), id="half"),
        pytest.param(0.1, (6, 3), id="a tenth"),
    ],
)
def test_scale_is_of_the_side_that_fills_first(scale: float, size: tuple[int, int]) -> None:
    rgb, alpha, box = scene()
    colours, shown = place(rgb, alpha, box, scale, (0.5, 0.5))
    assert colours.shape == rgb.shape
    found = bounding_box(shown, 0.5)
    assert found is not None
    assert (found.width, found.height) == size
    assert np.abs(colours[shown > 0.5].astype(int) - RED).max() <= 1


def test_scaled_where_it_stood() -> None:
    rgb, alpha, _ = scene(box=Box(40, 30, 20, 10))
    _, shown = place(rgb, alpha, Box(40, 30, 20, 10), 0.1, None)
    assert bounding_box(shown, 0.5) == Box(54, 37, 6, 3)
