"""The measures of the field, for one predicted matte against one ground truth.

Where pysodmetrics (the extra `evaluate`) has a measure it is used; what it lacks is in boundary.py and
matting.py. All that the evaluation code of the BiRefNet authors measures agrees with it (tests/data/metrics
holds its figures).

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
| Fb_relaxed | F of the boundaries, each let off by 3 px | Ehrig and Euzenat 2005, as BASNet has it |
| SAD, MSE, Grad | errors of a matte; SAD and Grad in thousands | Rhemann et al. 2009 |

Ground truth is `> 128` but for mattes. F, E, S, weighted F, MAE and BIoU stretch the prediction to its own
minimum and maximum first, as the field does; HCE, MBA and Fb_relaxed cut the prediction at `> 128` and IoU
at `>= 128` as it stands. HCE, BIoU, MBA and Fb_relaxed speak of a boundary: where the ground truth has none
(all or nothing is foreground) they are None. SAD, MSE and Grad alone take the ground truth as a matte.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from py_sod_metrics import (
    MAE,
    Emeasure,
    FmeasureHandler,
    FmeasureV2,
    HumanCorrectionEffortMeasure,
    PrecisionHandler,
    RecallHandler,
    Smeasure,
    WeightedFmeasure,
)

from model.evaluation.boundary import Binary, Curve, Gray, accuracy, boundary_iou, relaxed_f
from model.evaluation.matting import matte_errors

__all__ = ["KEYS", "Curve", "Gray", "PairScores", "evaluate_pair"]

KEYS = (
    *("F_max", "F_mean", "F_adp", "E_max", "E_mean", "E_adp"),
    *("MAE", "S", "F_weighted", "HCE", "BIoU_max", "MBA", "IoU"),
    *("Fb_relaxed", "SAD", "MSE", "Grad"),
)
"""Every measure, in the order of reports."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """What one pair scored.

    scores: KEYS to figures, None where the measure says nothing of this pair.
    f_curve, e_curve, biou_curve, precision, recall: (256,) float64, the measure at the thresholds 255, 254,
    … 0 of the prediction. A data set's max and mean are those of the mean curve, so the curves are kept.
    """

    scores: Mapping[str, float | None]
    f_curve: Curve
    e_curve: Curve
    biou_curve: Curve | None
    precision: Curve
    recall: Curve


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

    f_measure = FmeasureV2(
        {
            "f": FmeasureHandler(with_dynamic=True, with_adaptive=True, beta=0.3),
            "precision": PrecisionHandler(with_dynamic=True, with_adaptive=False),
            "recall": RecallHandler(with_dynamic=True, with_adaptive=False),
        }
    )
    e_measure, s_measure, f_weighted, mae = Emeasure(), Smeasure(), WeightedFmeasure(), MAE()
    for measure in (f_measure, e_measure, s_measure, f_weighted, mae):
        measure.step(prediction, truth)
    counted, e = f_measure.get_results(), e_measure.get_results()["em"]
    f = counted["f"]
    predicted = prediction > 128
    biou_curve = boundary_iou(prediction, foreground) if bounded else None
    values = (
        *(f["dynamic"].max(), f["dynamic"].mean(), f["adaptive"]),
        *(e["curve"].max(), e["curve"].mean(), e["adp"]),
        *(mae.get_results()["mae"], s_measure.get_results()["sm"], f_weighted.get_results()["wfm"]),
        _correction_effort(prediction, truth) if bounded else None,
        None if biou_curve is None else biou_curve.max(),
        accuracy(predicted, foreground) if bounded else None,
        _iou(prediction >= 128, foreground),
        relaxed_f(predicted, foreground) if bounded else None,
        *matte_errors(prediction, truth),
    )
    scores = {key: None if value is None else float(value) for key, value in zip(KEYS, values, strict=True)}
    precision, recall = (counted[name]["dynamic"] for name in ("precision", "recall"))
    return PairScores(scores, f["dynamic"], e["curve"], biou_curve, precision, recall)


def _iou(predicted: Binary, foreground: Binary) -> float:
    """1 where both are empty: there was nothing to find and nothing was found."""
    union = np.count_nonzero(predicted | foreground)
    return float(np.count_nonzero(predicted & foreground) / union) if union else 1.0


def _correction_effort(prediction: Gray, truth: Gray) -> float:
    # The library would stretch the prediction before cutting it; the authors cut it as it stands.
    measure = HumanCorrectionEffortMeasure(relax=5, epsilon=2.0)
    measure.step(np.where(prediction > 128, 255, 0).astype(np.uint8), truth)
    return float(measure.get_results()["hce"])
