"""A data set's figures."""

import numpy as np
import pytest

from model.evaluation.metrics import KEYS, PairScores
from model.evaluation.report import Report, report, summarise


def scored(*, peak: int, mae: float, boundary: bool = True) -> PairScores:
    """A pair whose curves are 1 at one threshold and 0 elsewhere."""
    curve = np.zeros(256)
    curve[peak] = 1.0
    scores = dict.fromkeys(KEYS, 1.0) | {"MAE": mae}
    missing = {} if boundary else dict.fromkeys(("HCE", "BIoU_max", "MBA", "Fb_relaxed"))
    return PairScores({**scores, **missing}, curve, curve, curve if boundary else None, curve, 1 - curve)


def test_one_threshold_serves_the_whole_data_set() -> None:
    mean = summarise([scored(peak=10, mae=0.1), scored(peak=200, mae=0.3)])
    assert mean["F_max"] == mean["E_max"] == mean["BIoU_max"] == 0.5, "not 1, the mean of the two maxima"
    assert mean["F_mean"] == pytest.approx(1 / 256)
    assert mean["MAE"] == pytest.approx(0.2)
    assert tuple(mean) == KEYS


def test_pairs_without_a_boundary_are_left_out_of_the_boundary_measures_only() -> None:
    mean = summarise([scored(peak=3, mae=0.0), scored(peak=3, mae=0.2, boundary=False)])
    assert mean["BIoU_max"] == mean["HCE"] == mean["MBA"] == 1.0
    assert mean["MAE"] == pytest.approx(0.1)


def test_a_measure_that_no_pair_has_is_null() -> None:
    mean = summarise([scored(peak=3, mae=0.2, boundary=False)])
    assert (mean["HCE"], mean["BIoU_max"], mean["MBA"]) == (None, None, None)


def test_no_pairs() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        summarise([])


@pytest.mark.parametrize(
    "per_image", [pytest.param(True, id="per image"), pytest.param(False, id="mean only")]
)
def test_json(per_image: bool) -> None:
    body = Report({"S": 0.5}, {"a": {"S": 0.5}}).as_json(per_image=per_image)
    assert body == ({"mean": {"S": 0.5}, "images": {"a": {"S": 0.5}}} if per_image else {"mean": {"S": 0.5}})


def test_attributes_are_broken_down_and_curves_averaged() -> None:
    scored_pairs = {"a": scored(peak=1, mae=0.1), "b": scored(peak=2, mae=0.3), "c": scored(peak=2, mae=0.5)}
    made = report(scored_pairs, {"small": {"b", "c"}, "cut off": {"a"}})
    assert list(made.attributes) == ["cut off", "small"]
    assert made.attributes["small"]["MAE"] == pytest.approx(0.4)
    assert made.precision[:3] == pytest.approx((0, 1 / 3, 2 / 3))
    assert made.recall[:3] == pytest.approx((1, 2 / 3, 1 / 3))
    assert set(made.as_json(per_image=False)) == {"mean", "attributes"}


def test_an_attribute_of_no_pair() -> None:
    with pytest.raises(ValueError, match="no pair 'z'"):
        report({"a": scored(peak=1, mae=0.1)}, {"small": {"z"}})


def test_ranking_leaves_out_what_was_not_measured() -> None:
    figures = {"a": 0.5, "b": None, "c": 0.9, "d": 0.5}
    images = {name: {"S": value} for name, value in figures.items()}
    assert Report({"S": 0.6}, images).ranked() == ["c", "a", "d"]
