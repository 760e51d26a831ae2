"""The measures of the field, for one predicted matte against one ground truth.

Where pysodmetrics (the extra `evaluate`) has a measure it is used; boundary IoU and mean boundary
accuracy, which it lacks, are here. All of them agree with the evaluation code of the BiRefNet authors
(tests/data/metrics holds its figures).

| key | measure | source |
|---|---|---|
| F_max, F_mean, F_adp | F-measure, beta^2 0.3 | Achanta et al. 2009 |
| E_max, E_mean, E_adp | enhanced-alignment measure | Fan et al. 2018 |
| MAE | mean absolute error | Perazzi et al. 2012 |
| S | structure measure, alpha 0.5 | Fan et al. 2017 |
| F_weighted | weighted F-measure, beta^2 1 | Margolin et al. 2014 |
| HCE | human correction effort, relax 5, epsilon 2 (a count of clicks: smaller is better) | Qin et al. 2022 |
| BIoU_max | boundary IoU, band of 2 % of the diagonal | Cheng et al. 2021 |
| MBA | mean boundary accuracy, five radii | Cheng et al. 2020 (CascadePSP) |
| IoU | intersection over union of prediction >= 0.5 | |

Ground truth is `> 128` everywhere. F, E, S, weighted F, MAE and BIoU stretch the prediction to its own
minimum and maximum first, as the field does; HCE and MBA cut the prediction at `> 128` and IoU at
`>= 128` as it stands. HCE, BIoU and MBA speak of a boundary: where the ground truth has none (all or
nothing is foreground) they are None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from py_sod_metrics import (
    MAE,
    Emeasure,
    FmeasureHandler,
    FmeasureV2,
    HumanCorrectionEffortMeasure,
    Smeasure,
    WeightedFmeasure,
)

__all__ = ["KEYS", "PairScores", "evaluate_pair"]

Gray: TypeAlias = NDArray[np.uint8]
Binary: TypeAlias = NDArray[np.bool_]
Curve: TypeAlias = NDArray[np.float64]

KEYS = (
    *("F_max", "F_mean", "F_adp", "E_max", "E_mean", "E_adp"),
    *("MAE", "S", "F_weighted", "HCE", "BIoU_max", "MBA", "IoU"),
)
"""Every measure, in the order of reports."""

BAND = 0.02
"""Width of the boundary of BIoU, share of the picture's diagonal."""
RADII = 5
"""How many widths MBA looks at, from 1 px up to (width + height) / 300 px."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """What one pair scored.

    scores: KEYS to figures, None where the measure says nothing of this pair.
    f_curve, e_curve, biou_curve: (256,) float64, the measure at the thresholds 255, 254, … 0 of the
    prediction. A data set's max and mean are those of the mean curve, so the curves are kept.
    """

    scores: Mapping[str, float | None]
    f_curve: Curve
    e_curve: Curve
    biou_curve: Curve | None


def evaluate_pair(prediction: Gray, truth: Gray) -> PairScores:
    """Every measure of one pair.

    prediction: (h, w) uint8, a matte; enlarged or reduced (bilinear) where its size is not truth's.
    truth: (H, W) uint8, foreground where > 128.

    Raises ValueError for anything but two-dimensional, non-empty uint8.
    """
    for name, array in (("prediction", prediction), ("truth", truth)):
        if array.dtype != np.uint8 or array.ndim != 2 or not array.size:
            raise ValueError(f"{name} must be (H, W) uint8, not {array.shape} {array.dtype}")
    if prediction.shape != truth.shape:
        size = truth.shape[1], truth.shape[0]
        prediction = np.asarray(cv2.resize(prediction, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    foreground = truth > 128
    bounded = bool(foreground.any() and not foreground.all())

    f_measure = FmeasureV2({"f": FmeasureHandler(with_dynamic=True, with_adaptive=True, beta=0.3)})
    e_measure, s_measure, f_weighted, mae = Emeasure(), Smeasure(), WeightedFmeasure(), MAE()
    for measure in (f_measure, e_measure, s_measure, f_weighted, mae):
        measure.step(prediction, truth)
    f, e = f_measure.get_results()["f"], e_measure.get_results()["em"]
    biou_curve = _boundary_iou(prediction, foreground) if bounded else None
    values = (
        *(f["dynamic"].max(), f["dynamic"].mean(), f["adaptive"]),
        *(e["curve"].max(), e["curve"].mean(), e["adp"]),
        *(mae.get_results()["mae"], s_measure.get_results()["sm"], f_weighted.get_results()["wfm"]),
        _correction_effort(prediction, truth) if bounded else None,
        None if biou_curve is None else biou_curve.max(),
        _boundary_accuracy(prediction > 128, foreground) if bounded else None,
        _iou(prediction >= 128, foreground),
    )
    scores = {key: None if value is None else float(value) for key, value in zip(KEYS, values, strict=True)}
    return PairScores(scores, f["dynamic"], e["curve"], biou_curve)


def _iou(predicted: Binary, foreground: Binary) -> float:
    """1 where both are empty: there was nothing to find and nothing was found."""
    union = np.count_nonzero(predicted | foreground)
    return float(np.count_nonzero(predicted & foreground) / union) if union else 1.0


def _correction_effort(prediction: Gray, truth: Gray) -> float:
    # The library would stretch the prediction before cutting it; the authors cut it as it stands.
    measure = HumanCorrectionEffortMeasure(relax=5, epsilon=2.0)
    measure.step(np.where(prediction > 128, 255, 0).astype(np.uint8), truth)
    return float(measure.get_results()["hce"])


def _boundary_accuracy(predicted: Binary, foreground: Binary) -> float:
    """The share of pixels called right within r px of the true boundary, mean over five radii r."""
    height, width = foreground.shape
    widest = (width + height) / 300
    accuracies = []
    for step in range(RADII):
        radius = 1 + int((widest - 1) / RADII * step)
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        near = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_GRADIENT, disk) > 0
        accuracies.append(np.mean(predicted[near] == foreground[near]))
    return float(np.mean(accuracies))


def _boundary_iou(prediction: Gray, foreground: Binary) -> Curve:
    """IoU of the two inner boundaries, the prediction's being grey, at every threshold."""
    stretched = cv2.normalize(prediction, np.empty(0), 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    predicted = _inner_boundary(np.asarray(stretched, np.uint8))
    true = _inner_boundary(np.where(foreground, 255, 0).astype(np.uint8)) > 128
    hits, misses = (_at_least(predicted[where]) for where in (true, ~true))
    return hits / (np.count_nonzero(true) + misses)


def _inner_boundary(gray: Gray) -> Gray:
    """What erosion by the band's width takes away; the picture's border counts as background."""
    reach = max(1, round(BAND * float(np.hypot(*gray.shape))))
    padded = cv2.copyMakeBorder(gray, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=reach)[1:-1, 1:-1]
    return gray - np.asarray(eroded, np.uint8)


def _at_least(values: Gray) -> Curve:
    """(256,): how many of the values reach 255, 254, … 0."""
    return np.cumsum(np.bincount(values, minlength=256)[::-1]).astype(np.float64)
