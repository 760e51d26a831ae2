"""rembg's trimap and mask, and the matte between them."""

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from postprocess.edges import refine
from postprocess.trimap import BACKGROUND, SUBJECT, UNKNOWN, smooth_mask, solve, trimap
from postprocess.types import Alpha
from tests.postprocess.drawn import Scene, as_predicted, disc, scenes
from tests.postprocess.measures import sad


def eroded(mask: NDArray[np.bool_], side: int, *, border: bool) -> NDArray[np.bool_]:
    """By its definition, with the structure's origin at side // 2 as scipy has it."""
    before = side // 2
    padded = np.pad(mask, (before, side - 1 - before), constant_values=border)
    return np.asarray(sliding_window_view(padded, (side, side)).all(axis=(2, 3)))


def ramp() -> Alpha:
    """Every level of a byte, a subject that touches the border, and some noise."""
    rng = np.random.default_rng(0)
    levels = np.tile(np.linspace(0, 255, 80), (60, 1)) + rng.integers(-9, 10, (60, 80))
    return (np.clip(levels, 0, 255).round() / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("foreground", "background", "erode"),
    [
        pytest.param(240, 10, 10, id="the defaults"),
        pytest.param(200, 50, 3, id="an odd square"),
        pytest.param(255, 0, 4, id="nothing is known"),
        pytest.param(100, 101, 1, id="thresholds that meet"),
    ],
)
def test_is_rembgs_trimap(foreground: int, background: int, erode: int) -> None:
    alpha = ramp()
    levels = np.rint(alpha * 255).astype(int)
    expected = np.full(alpha.shape, UNKNOWN)
    expected[eroded(levels > foreground, erode, border=False)] = SUBJECT
    expected[eroded(levels < background, erode, border=True)] = BACKGROUND
    assert np.array_equal(trimap(alpha, foreground, background, erode), expected)


def test_without_erosion_the_thresholds_alone_decide() -> None:
    levels = np.array([[0, 9, 10, 240, 241, 255]], np.float32) / np.float32(255)
    assert trimap(levels, 240, 10, 0).tolist() == [[0, 0, UNKNOWN, UNKNOWN, 255, 255]]


@pytest.mark.parametrize("scene", list(scenes(300, 450)), ids=lambda scene: scene.name)
def test_solve_keeps_what_is_known_and_betters_hair(scene: Scene) -> None:
    first = refine(as_predicted(scene.alpha), scene.rgb)
    known = trimap(first, 240, 10, 10)
    second = solve(scene.rgb, first, known)
    assert (second[known == SUBJECT] == 1).all()
    assert (second[known == BACKGROUND] == 0).all()
    assert (second >= 0).all()
    assert (second <= 1).all()
    gain = sad(second, scene.alpha) / sad(first, scene.alpha)
    assert gain < (0.85 if scene.name.startswith("hair") else 1.2)


@pytest.mark.parametrize("level", [SUBJECT, BACKGROUND])
def test_solve_without_anything_unknown(level: int) -> None:
    rgb = np.zeros((20, 30, 3), np.uint8)
    known = np.full((20, 30), level, np.uint8)
    assert (solve(rgb, np.full((20, 30), 0.5, np.float32), known) == level / 255).all()


def test_smooth_mask_is_hard_and_without_specks() -> None:
    alpha = disc(120, 12.0)
    alpha[5, 5] = 1  # a speck: opening takes it away
    mask = smooth_mask(alpha)
    assert set(np.unique(mask)) == {0, 1}
    assert mask[5, 5] == 0
    assert np.abs(mask - (disc(120, 1.0) >= 0.5)).mean() < 0.01
