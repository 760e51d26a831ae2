import numpy as np
import pytest

from postprocess.colour import Colour
from postprocess.compose import blurred, cover, cutout, invert, mask, over, over_colour, with_alpha
from tests.postprocess.drawn import disc, natural

ALPHA = disc(128, 6)
RGB = natural(128, 128, 1, (150, 100, 80), 40).astype(np.uint8)
BEHIND = natural(128, 128, 2, (80, 120, 150), 40).astype(np.uint8)


def test_cutout_is_the_straightforward_one() -> None:
    plain = np.dstack([RGB, np.rint(ALPHA * 255).astype(np.uint8)])
    plain[plain[..., 3] == 0] = 0
    assert np.array_equal(cutout(RGB, ALPHA), plain)


def test_with_alpha_keeps_hidden_colours() -> None:
    rgba = with_alpha(RGB, ALPHA)
    assert np.array_equal(rgba[..., :3], RGB)
    assert np.array_equal(rgba[..., 3], cutout(RGB, ALPHA)[..., 3])


def test_mask_cuts_at_one_half() -> None:
    assert mask(np.array([[0, 0.49, 0.5, 1]], np.float32)).tolist() == [[0, 0, 255, 255]]


def test_both_sides_make_a_whole() -> None:
    assert np.allclose(invert(ALPHA) + ALPHA, 1)


def test_over_is_the_straightforward_blend() -> None:
    plain = ALPHA[..., None] * RGB + (1 - ALPHA[..., None]) * BEHIND.astype(np.float32)
    before = BEHIND.copy()
    # Eight bits of alpha decide what counts as all or nothing: half a level.
    assert np.abs(over(RGB, ALPHA, BEHIND) - plain).max() <= 1.01
    assert np.array_equal(BEHIND, before)


def test_over_an_opaque_colour() -> None:
    result = over_colour(RGB, ALPHA, Colour(255, 0, 255))
    assert result.shape == RGB.shape
    assert (result[ALPHA == 0] == (255, 0, 255)).all()
    assert np.array_equal(result[ALPHA == 1], RGB[ALPHA == 1])


@pytest.mark.parametrize("opacity", [0, 1, 128, 254])
def test_over_a_colour_that_lets_through(opacity: int) -> None:
    behind = Colour(10, 200, 30, opacity)
    result = over_colour(RGB, ALPHA, behind).astype(np.float64)
    below = opacity / 255
    total = ALPHA + below * (1 - ALPHA)
    assert np.abs(result[..., 3] - total * 255).max() <= 0.51
    # Seen over anything, it is what subject over colour over that thing is.
    share = ALPHA[..., None]
    expected = share * RGB + (1 - share) * below * np.array(behind[:3], np.float64)
    premultiplied = result[..., :3] * result[..., 3:] / 255
    assert np.abs(premultiplied - expected).max() <= 1.6


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        pytest.param((40, 100), (30, 30), id="wide onto square"),
        pytest.param((100, 40), (30, 30), id="tall onto square"),
        pytest.param((10, 10), (300, 7), id="enlarged"),
        pytest.param((1, 1), (5, 9), id="one pixel"),
    ],
)
def test_cover_fills_the_picture(shape: tuple[int, int], size: tuple[int, int]) -> None:
    assert cover(np.full((*shape, 3), 90, np.uint8), size).shape == (size[1], size[0], 3)


def test_cover_takes_the_middle() -> None:
    stripes = np.zeros((30, 90, 3), np.uint8)
    stripes[:, 30:60] = 200
    assert (cover(stripes, (60, 60)) == 200).all()


@pytest.mark.parametrize("side", [64, 700])
def test_blur_leaves_the_subject_out(side: int) -> None:
    alpha = disc(side, 2)
    rgb = np.rint(20 + 230 * np.repeat(alpha[..., None], 3, 2)).astype(np.uint8)
    soft = blurred(rgb, alpha, 0.05)
    assert soft.shape == rgb.shape
    assert soft[alpha == 0].max() <= 24


def test_blur_of_a_picture_that_is_all_subject() -> None:
    flat = np.full((50, 70, 3), 123, np.uint8)
    assert np.array_equal(blurred(flat, np.ones((50, 70), np.float32), 0.05), flat)
