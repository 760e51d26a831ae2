"""Where shadows fall, and what lies over what."""

import numpy as np
import pytest

from postprocess.shadow import Shadow, cast, under
from postprocess.types import Alpha

KINDS: list[Shadow] = ["drop", "ground"]


def standing() -> Alpha:
    """A subject of 80 x 160 px in the middle of 400 x 400."""
    alpha = np.zeros((400, 400), np.float32)
    alpha[120:280, 160:240] = 1
    return alpha


def centre(weight: Alpha) -> tuple[float, float]:
    rows, columns = np.indices(weight.shape)
    return float((columns * weight).sum() / weight.sum()), float((rows * weight).sum() / weight.sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
def test_no_darker_than_asked(kind: Shadow, opacity: float) -> None:
    shadow = cast(standing(), kind, opacity)
    assert shadow.shape == (400, 400)
    assert shadow.dtype == np.float32
    assert shadow.min() >= 0
    assert shadow.max() <= opacity + 1e-6
    assert bool(shadow.any()) is (opacity > 0)


def test_drop_is_the_silhouette_right_and_down() -> None:
    shadow = cast(standing(), "drop", 1.0)
    across, down = centre(shadow)
    assert across - 199.5 == pytest.approx(4.8, abs=1)
    assert down - 199.5 == pytest.approx(4.8, abs=1)
    assert shadow.sum() == pytest.approx(80 * 160, rel=0.05)


def test_ground_is_flat_and_at_the_feet() -> None:
    shadow = cast(standing(), "ground", 1.0)
    across, down = centre(shadow)
    assert across == pytest.approx(199.5, abs=1)
    assert down == pytest.approx(280, abs=3)
    assert shadow[:240].max() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_casts_none(kind: Shadow) -> None:
    assert not cast(np.zeros((30, 50), np.float32), kind, 1.0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_the_size(kind: Shadow) -> None:
    for shape in ((1, 1), (3, 2000), (1500, 2)):
        assert cast(np.ones(shape, np.float32), kind, 0.5).shape == shape


def test_the_subject_lies_over_its_shadow() -> None:
    rgb = np.full((400, 400, 3), (200, 100, 50), np.uint8)
    alpha = standing()
    alpha[120:280, 200] = 0.5
    shadow = cast(alpha, "drop", 0.5)
    colours, shown = under(rgb, alpha, shadow)
    assert np.array_equal(colours[200, 180], rgb[200, 180])
    assert (shown[200, 180], shown[5, 5]) == (1, 0)
    assert colours[200, 241].tolist() == [0, 0, 0]
    assert shown[200, 241] == pytest.approx(shadow[200, 241])
    # Half subject over shadow, over white: what Porter and Duff's "over" gives layer by layer.
    half, dark = 0.5, float(shadow[200, 200])
    expected = half * np.array([200, 100, 50]) + (1 - half) * (1 - dark) * 255
    got = shown[200, 200] * colours[200, 200] + (1 - shown[200, 200]) * 255
    assert np.abs(got - expected).max() < 1.5
