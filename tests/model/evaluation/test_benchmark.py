"""Many pairs, in this process and in others."""

import numpy as np
import pytest

from model.evaluation.benchmark import ArrayPair, evaluate
from model.evaluation.metrics import evaluate_pair
from model.evaluation.report import summarise


def drawn(count: int) -> list[ArrayPair]:
    rng = np.random.default_rng(0)
    truth = np.zeros((48, 40), np.uint8)
    truth[8:30, 9:31] = 255
    return [
        ArrayPair(f"pair{i}", np.clip(truth + rng.normal(0, 90, truth.shape), 0, 255).astype(np.uint8), truth)
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "jobs"), [pytest.param(5, 1, id="in this process"), pytest.param(33, 2, id="in two others")]
)
def test_report_is_that_of_the_pairs_one_by_one(count: int, jobs: int) -> None:
    pairs, done = drawn(count), list[str]()
    report = evaluate(pairs, jobs=jobs, on_pair=done.append)
    alone = [evaluate_pair(*pair.load()) for pair in pairs]
    assert report.images == {pair.name: scores.scores for pair, scores in zip(pairs, alone, strict=True)}
    assert report.mean == summarise(alone)
    assert done == [pair.name for pair in pairs]


def test_two_pairs_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share a name"):
        evaluate([*drawn(1), *drawn(1)])


def test_a_pair_that_cannot_be_scored_is_an_error() -> None:
    with pytest.raises(ValueError, match="truth must be"):
        evaluate([ArrayPair("bad", np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8))])
