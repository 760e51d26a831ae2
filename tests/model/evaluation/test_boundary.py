"""The boundary's measures on shapes whose figures can be said by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.evaluation.boundary import accuracy, boundary_iou, relaxed_f


def square(*, side: int = 30, at: int = 20) -> NDArray[np.bool_]:
    picture = np.zeros((80, 80), np.bool_)
    picture[at : at + side, at : at + side] = True
    return picture


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        pytest.param(square(), 1.0, id="same"),
        pytest.param(
            square(side=36, at=17),
            pytest.approx(1.3 * 120 / (0.3 * 120 + 140)),
            id="off by 3 px: all but corners",
        ),
        pytest.param(square(side=38, at=16), pytest.approx(0.0, abs=0.03), id="off by 4 px: not"),
        pytest.param(np.zeros((80, 80), np.bool_), 0.0, id="nothing predicted"),
        pytest.param(square(side=4, at=70), 0.0, id="elsewhere"),
    ],
)
def test_relaxed_f(predicted: NDArray[np.bool_], expected: float) -> None:
    assert relaxed_f(predicted, square()) == expected


def test_precision_weighs_more_than_recall() -> None:
    two = square(side=10, at=5) | square(side=10, at=60)
    assert relaxed_f(square(side=10, at=5), two) == pytest.approx(1.3 * 0.5 / (0.3 + 0.5))


def test_accuracy_falls_as_the_boundary_moves() -> None:
    assert 1.0 == accuracy(square(), square()) > accuracy(square(at=21), square())


@pytest.mark.parametrize("faint", [1, 2])
def test_boundary_iou_is_of_the_prediction_stretched(faint: int) -> None:
    faintly = square().astype(np.uint8) * 10 * faint + 20
    assert boundary_iou(faintly, square()).tolist() == [1.0] * 255 + [pytest.approx(288 / 6400, rel=0.5)]


def test_boundary_iou_of_an_even_prediction_has_the_border_for_boundary() -> None:
    """Its values are left as they are: the boundary is a frame of 2 px."""
    white = np.full((80, 80), 255, np.uint8)
    assert boundary_iou(white, square())[0] == 0.0
    half = np.zeros((80, 80), np.bool_)
    half[:, :40] = True
    frame, band = 80 * 80 - 76 * 76, 80 * 40 - 76 * 36
    shared = frame // 2
    assert boundary_iou(white, half)[0] == pytest.approx(shared / (frame + band - shared))
