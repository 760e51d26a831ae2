import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postprocess.alpha import Operation, clean, enlarge, quantise, sharpen, with_source
from postprocess.types import Alpha
from tests.postprocess.drawn import disc

OPERATIONS: list[Operation] = ["open", "close", "erode", "dilate", "keep_largest", "fill_holes"]


def canvas(*rectangles: tuple[int, int, int, int, float]) -> Alpha:
    """(60, 60): left, top, right, bottom and alpha of each rectangle, later ones on top."""
    matte = np.zeros((60, 60), np.float32)
    for left, top, right, bottom, alpha in rectangles:
        matte[top:bottom, left:right] = alpha
    return matte


SPECK = (50, 50, 52, 52, 1.0)
BODY = (10, 10, 40, 40, 1.0)
HOLE = (20, 20, 22, 22, 0.0)


@pytest.mark.parametrize(
    ("operations", "radius", "before", "after"),
    [
        pytest.param((), 1, canvas(BODY, SPECK), canvas(BODY, SPECK), id="nothing"),
        pytest.param(("keep_largest",), 1, canvas(BODY, SPECK), canvas(BODY), id="keep the largest"),
        pytest.param(("keep_largest",), 1, canvas(), canvas(), id="nothing to keep"),
        pytest.param(("fill_holes",), 1, canvas(BODY, HOLE), canvas(BODY), id="fill a hole"),
        pytest.param(
            ("fill_holes",),
            1,
            canvas(BODY, (10, 20, 25, 22, 0.0)),
            canvas(BODY, (10, 20, 25, 22, 0.0)),
            id="an inlet is no hole",
        ),
        pytest.param(("erode",), 2, canvas(BODY), canvas((12, 12, 38, 38, 1.0)), id="erode"),
        pytest.param(("open",), 2, canvas(SPECK), canvas(), id="open removes a speck"),
        pytest.param(
            ("keep_largest", "fill_holes"),
            1,
            canvas(BODY, HOLE, SPECK),
            canvas(BODY),
            id="one after the other",
        ),
    ],
)
def test_clean(operations: tuple[Operation, ...], radius: int, before: Alpha, after: Alpha) -> None:
    assert np.array_equal(clean(before, operations, radius), after)


def test_keep_largest_weighs_alpha_and_keeps_soft_edges() -> None:
    soft = np.asarray(cv2.GaussianBlur(canvas(BODY), (0, 0), 2), np.float32)
    kept = clean(np.maximum(soft, canvas(SPECK)), ("keep_largest",), 1)
    assert np.array_equal(kept[:44, :44], soft[:44, :44])  # all nearer to the body than to the speck
    assert kept[50:52, 50:52].max() == 0


def test_fill_holes_rises_to_the_lowest_pass() -> None:
    leaking = canvas(BODY, HOLE)
    leaking[20:22, 22:40] = 0.5  # a half-transparent channel to the outside
    filled = clean(leaking, ("fill_holes",), 1)
    assert np.allclose(filled[20:22, 20:22], 0.5, atol=1 / 64)


def test_unknown_operation() -> None:
    with pytest.raises(ValueError, match="unknown operation"):
        clean(canvas(), ("melt",), 1)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from(OPERATIONS), max_size=4), st.integers(1, 5))
def test_clean_stays_in_range_and_leaves_its_argument(
    seed: int, operations: list[Operation], radius: int
) -> None:
    noise = np.random.default_rng(seed).random((24, 31), np.float32)
    before = noise.copy()
    after = clean(noise, operations, radius)
    assert after.dtype == np.float32
    assert after.shape == noise.shape
    assert 0 <= after.min() <= after.max() <= 1
    assert np.array_equal(noise, before)


def test_sharpen_narrows_the_edge_in_its_place() -> None:
    soft = np.asarray(cv2.GaussianBlur(disc(160, 1.0), (0, 0), 3), np.float32)
    sharp = sharpen(soft, 3.0, 5.0)
    widths = [((matte > 0.1) & (matte < 0.9)).sum() for matte in (soft, sharp)]
    assert widths[1] < 0.5 * widths[0]
    assert abs(float(sharp.sum() / soft.sum()) - 1) < 0.02


def test_sharpen_by_nothing_only_opens_and_closes() -> None:
    soft = np.asarray(cv2.GaussianBlur(disc(160, 1.0), (0, 0), 3), np.float32)
    assert np.array_equal(sharpen(soft, 1.0, 0.0), clean(soft, ("open", "close"), 1))


def test_enlarge_has_no_veil_and_no_pinholes() -> None:
    large = quantise(enlarge(np.asarray(0.015 + 0.97 * disc(80, 4.0), np.float32), (333, 251)))
    assert large.shape == (251, 333)
    assert (large[:20] == 0).all()
    assert (large[115:135, 150:180] == 255).all()


def test_source_transparency_multiplies() -> None:
    alpha, source = np.full((2, 2), 0.5, np.float32), np.array([[0, 1], [0.5, 1]], np.float32)
    assert np.array_equal(with_source(alpha, source), [[0, 0.5], [0.25, 0.5]])
    assert with_source(alpha, None) is alpha


def test_every_byte_survives_the_round_trip() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(quantise(np.asarray(every / 255, np.float32)), every)


@pytest.mark.parametrize("radius", [9, 16, 37, 64])
def test_large_discs_are_round_and_of_their_radius(radius: int) -> None:
    """They are made of smaller ones; 4 % is what a polygon of so many corners is off by."""
    point = np.zeros((161, 161), np.float32)
    point[80, 80] = 1
    grown = clean(point, ("dilate",), radius)
    y, x = np.mgrid[-80:81, -80:81]
    distance = np.hypot(x, y)
    assert grown[80, 80 - radius] == grown[80 + radius, 80] == 1
    assert distance[grown == 1].max() < 1.04 * radius + 1
    assert distance[grown == 0].min() > 0.96 * radius - 1
    assert clean(grown, ("erode",), radius)[80, 80] == 1
