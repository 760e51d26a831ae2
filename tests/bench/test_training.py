import torch

from tests.bench.training import Kept, markdown, measure, verdicts


def test_the_share_is_judged() -> None:
    rows = [Kept("slow", 320, 8, "float32", 10.0, 8.4, 8.0), Kept("quick", 320, 8, "float32", 10.0, 8.6, 8.2)]
    assert [verdict.met for verdict in verdicts(rows)] == [False, True]
    assert "| slow" in markdown(rows)
    assert "84%" in markdown(rows)


def test_a_small_course() -> None:
    kept = measure("finetune", 32, 2, torch.device("cpu"), rounds=1)
    assert kept.bare > 0
    assert kept.loop > 0
