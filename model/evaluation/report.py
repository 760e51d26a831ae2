"""From the pairs' scores to the figures of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.evaluation.metrics import KEYS, Curve, PairScores

__all__ = ["Report", "Scores", "summarise"]

Scores = Mapping[str, float | None]
"""KEYS of model.evaluation.metrics to figures; None where a measure says nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """mean: of the data set (see `summarise`). images: of each pair, by name."""

    mean: Scores
    images: Mapping[str, Scores]

    def as_json(self, *, per_image: bool) -> dict[str, object]:
        """`{"mean": {...}}`, and `"images": {NAME: {...}}` too when asked for."""
        images = {name: dict(scores) for name, scores in self.images.items()}
        return {"mean": dict(self.mean), **({"images": images} if per_image else {})}


def summarise(pairs: Sequence[PairScores]) -> dict[str, float | None]:
    """The data set's figures: means over the pairs for which a measure says something.

    For F_max, F_mean, E_max, E_mean and BIoU_max the curves are averaged first, and the maximum or mean
    is the mean curve's: one threshold serves the whole data set, as in the field's published tables.
    F_max is therefore at most, and mostly below, the mean of the pairs' own F_max.

    Raises ValueError for no pairs.
    """
    if not pairs:
        raise ValueError("no pairs to summarise")
    mean: dict[str, float | None] = {key: _mean([pair.scores[key] for pair in pairs]) for key in KEYS}
    f_curve, e_curve = (
        _mean_curve(curves) for curves in ([p.f_curve for p in pairs], [p.e_curve for p in pairs])
    )
    mean |= {"F_max": float(f_curve.max()), "F_mean": float(f_curve.mean())}
    mean |= {"E_max": float(e_curve.max()), "E_mean": float(e_curve.mean())}
    if boundaries := [pair.biou_curve for pair in pairs if pair.biou_curve is not None]:
        mean["BIoU_max"] = float(_mean_curve(boundaries).max())
    return mean


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _mean_curve(curves: Sequence[Curve]) -> Curve:
    return np.asarray(np.mean(np.stack(curves), axis=0), np.float64)
