import numpy as np
import pytest

from postprocess.foreground import decontaminate, extend
from postprocess.types import RGB, Alpha
from tests.postprocess.drawn import disc, scenes

SUBJECT = np.array((200, 100, 50), np.float32)
BACKGROUNDS = {"cyan": (0, 255, 255), "white": (255, 255, 255), "black": (0, 0, 0)}


def photo(alpha: Alpha, background: tuple[int, int, int]) -> RGB:
    mixed = alpha[..., None] * SUBJECT + (1 - alpha[..., None]) * np.array(background, np.float32)
    return np.asarray(np.rint(mixed), np.uint8)


@pytest.mark.parametrize("background", BACKGROUNDS.values(), ids=BACKGROUNDS)
@pytest.mark.parametrize("side", [512, 1500], ids=["small", "coarse grid"])
@pytest.mark.parametrize(("ramp", "gate"), [(2, 3), (6, 10), (16, 25)])
def test_known_foreground_comes_back(
    side: int, ramp: float, gate: int, background: tuple[int, int, int]
) -> None:
    alpha = disc(side, ramp)
    rgb = photo(alpha, background)
    edge = (alpha > 0.05) & (alpha < 1)
    left_alone = np.abs(rgb[edge] - SUBJECT).max()
    error = np.abs(decontaminate(rgb, alpha)[edge] - SUBJECT).max()
    assert error <= gate
    assert left_alone > 100  # there was something to mend


def test_opaque_and_hidden_pixels_keep_their_exact_colours() -> None:
    for scene in scenes(213, 307):
        before = scene.rgb.copy()
        after = decontaminate(scene.rgb, scene.alpha)
        untouched = (scene.alpha == 0) | (scene.alpha == 1)
        assert np.array_equal(after[untouched], scene.rgb[untouched])
        assert np.array_equal(scene.rgb, before)


def test_textured_edges_come_closer_to_the_truth() -> None:
    for scene in scenes(300, 400):
        mixed = (scene.alpha > 0.02) & (scene.alpha < 0.98)
        errors = [
            (np.abs(rgb - scene.foreground).mean(-1) * scene.alpha)[mixed].mean()
            for rgb in (scene.rgb, decontaminate(scene.rgb, scene.alpha))
        ]
        assert errors[1] < 0.85 * errors[0], scene.name


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_matte_with_only_one_level(level: float) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    alpha = np.full((40, 50), level, np.float32)
    assert decontaminate(rgb, alpha).shape == rgb.shape
    assert extend(rgb, alpha).shape == rgb.shape


def test_extend_hides_the_background_and_nothing_else() -> None:
    alpha = disc(256, 2)
    rgb = photo(alpha, (0, 255, 255))
    wide = extend(rgb, alpha)
    assert np.abs(wide[alpha == 0] - SUBJECT).max() <= 2
    assert np.array_equal(wide[alpha * 255 >= 1], rgb[alpha * 255 >= 1])
