import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postprocess.crop import Box, bounding_box, crop, with_margin


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
