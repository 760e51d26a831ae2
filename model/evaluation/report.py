"""From the pairs' scores to the figures of a data set."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np

from model.evaluation.metrics import KEYS, Curve, PairScores

__all__ = ["Report", "Scores", "report", "summarise"]

Scores = Mapping[str, float | None]
"""KEYS of model.evaluation.metrics to figures; None where a measure says nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """mean: of the data set (see `summarise`). images: of each pair, by name. attributes: `mean` of the pairs
    that bear each attribute, by attribute. precision, recall: (256,), the data set's mean curves at the
    thresholds 255, 254, … 0; empty where nobody asked.
    """

    mean: Scores
    images: Mapping[str, Scores]
    attributes: Mapping[str, Scores] = field(default_factory=dict)
    precision: tuple[float, ...] = ()
    recall: tuple[float, ...] = ()

    def as_json(self, *, per_image: bool) -> dict[str, object]:
        """`{"mean": {...}}`; `"attributes": {NAME: {...}}` where there are any, `"images"` when asked for."""
        parts = {"attributes": self.attributes, "images": self.images if per_image else {}}
        named = {part: {name: dict(s) for name, s in of.items()} for part, of in parts.items() if of}
        return {"mean": dict(self.mean), **named}

    def ranked(self, key: str = "S") -> list[str]:
        """The names of the pairs, best first; pairs of which the measure says nothing are left out."""
        known = {name: value for name, scores in self.images.items() if (value := scores[key]) is not None}
        return sorted(known, key=lambda name: (-known[name], name))


def report(scored: Mapping[str, PairScores], attributes: Mapping[str, Set[str]] | None = None) -> Report:
    """The report of pairs that were scored. attributes: the names of the pairs that bear each.

    Raises ValueError for no pairs, and for an attribute of a pair that is not there.
    """
    bearers = dict(sorted((attributes or {}).items()))
    if strangers := sorted({name for names in bearers.values() for name in names} - scored.keys()):
        raise ValueError(f"there is no pair '{strangers[0]}' that an attribute could belong to")
    pairs = list(scored.values())
    return Report(
        mean=summarise(pairs),
        images={name: pair.scores for name, pair in scored.items()},
        attributes={a: summarise([scored[name] for name in sorted(names)]) for a, names in bearers.items()},
        precision=tuple(_mean_curve([pair.precision for pair in pairs]).tolist()),
        recall=tuple(_mean_curve([pair.recall for pair in pairs]).tolist()),
    )


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
