"""The measures against the reference figures, and at their edges."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.evaluation.metrics import KEYS, evaluate_pair

DATA = Path(__file__).parents[2] / "data" / "metrics"
REFERENCE: dict[str, dict[str, float]] = json.loads((DATA / "metrics.json").read_text())


def read(name: str) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(DATA / name), cv2.IMREAD_GRAYSCALE), np.uint8)


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_figures_are_reproduced(name: str) -> None:
    ours = evaluate_pair(read(f"{name}.pred.png"), read(f"{name}.gt.png")).scores
    assert tuple(ours) == KEYS
    for key, value in REFERENCE[name].items():
        assert ours[key] == pytest.approx(value, abs=1e-6), key
    assert ours["HCE"] == REFERENCE[name].get("HCE")
    undefined = {key for key, value in ours.items() if value is None}
    bounded = "HCE" in REFERENCE[name]
    assert undefined == (set() if bounded else {"HCE", "BIoU_max", "MBA", "Fb_relaxed"})


def square(value: int = 255, *, side: int = 20, at: int = 10) -> NDArray[np.uint8]:
    picture = np.zeros((64, 64), np.uint8)
    picture[at : at + side, at : at + side] = value
    return picture


@pytest.mark.parametrize(
    ("prediction", "truth", "iou"),
    [
        pytest.param(square(), square(), 1.0, id="same"),
        pytest.param(square(at=10), square(at=40), 0.0, id="apart"),
        pytest.param(square(at=20), square(at=10), 100 / 700, id="overlap"),
        pytest.param(square(128), square(), 1.0, id="just half counts"),
        pytest.param(square(127), square(), 0.0, id="under half does not, whatever the stretch"),
        pytest.param(square(0), square(0), 1.0, id="nothing to find and nothing found"),
        pytest.param(square(), square(0), 0.0, id="nothing to find and something found"),
        pytest.param(square(), square(128), 0.0, id="ground truth of 128 is background"),
    ],
)
def test_iou(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], iou: float) -> None:
    assert evaluate_pair(prediction, truth).scores["IoU"] == pytest.approx(iou)


def test_prediction_of_another_size_is_resized_to_the_truth() -> None:
    small = np.asarray(cv2.resize(square(), (32, 32), interpolation=cv2.INTER_LINEAR), np.uint8)
    back = np.asarray(cv2.resize(small, (64, 64), interpolation=cv2.INTER_LINEAR), np.uint8)
    assert evaluate_pair(small, square()).scores == evaluate_pair(back, square()).scores


@pytest.mark.parametrize(
    "prediction",
    [
        pytest.param(np.zeros((64, 64, 3), np.uint8), id="colour"),
        pytest.param(np.zeros((64, 64), np.float32), id="float"),
        pytest.param(np.zeros((0, 64), np.uint8), id="empty"),
    ],
)
def test_what_is_no_grey_picture_is_refused(prediction: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="prediction must be"):
        evaluate_pair(prediction, square())
    with pytest.raises(ValueError, match="truth must be"):
        evaluate_pair(square(), prediction)


def test_boundary_measures_see_the_boundary_and_the_region_measures_the_region() -> None:
    truth = square(side=40)
    shifted, holed = square(side=40, at=12), truth.copy()
    holed[24:36, 24:36] = 0
    edge, hole = evaluate_pair(shifted, truth).scores, evaluate_pair(holed, truth).scores
    assert hole["MBA"] == 1.0
    assert edge["MBA"] is not None
    assert edge["MBA"] < 0.8
