from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import plot
from tests.bench.figures import EAGER, OPENVINO, OURS, Figures, Row, markdown, verdicts

GIGA = 10**9


def row(network: str, way: str, *seconds: float, batch: int = 1, at_once: int = 1, apart: float = 0.0) -> Row:
    precision = "float32" if way == EAGER else "bfloat16"
    return Row(network, (320, 256), way, precision, batch, at_once, 100 * GIGA, seconds, apart)


ROWS = (
    row("lite", OURS, 0.05, 0.04, 0.9),
    row("basnet", EAGER, 2.0),
    row("basnet", OURS, 1.0, apart=0.002),
    row("basnet", OURS, 1.6, batch=1, at_once=2, apart=0.002),
    row("basnet", EAGER, 8.0, batch=4),
    row("basnet", OURS, 3.2, batch=4, apart=0.002),
    row("birefnet-lite", EAGER, 7.6),
    row("birefnet-lite", OURS, 4.0, apart=0.001),
)
FIGURES = Figures("cpu", "a machine", "a command", {"float32": 100.0 * GIGA, "bfloat16": 400.0 * GIGA}, ROWS)


def test_figures_come_back_from_their_file(tmp_path: Path) -> None:
    FIGURES.save(tmp_path / "deep" / "figures.json")
    assert Figures.read(tmp_path / "deep" / "figures.json") == FIGURES


def test_runs_join() -> None:
    first = replace(FIGURES, peaks={"float32": 3.0}, rows=ROWS[:1])
    both = first.joined(ROWS[1:], {"float32": 2.0, "bfloat16": 5.0})
    assert both == replace(FIGURES, peaks={"float32": 3.0, "bfloat16": 5.0})


def test_rate_counts_every_picture_of_every_call() -> None:
    assert row("lite", OURS, 0.5, 0.1, 0.4).rate == 2.5
    assert row("lite", OURS, 0.5, batch=4, at_once=2).rate == 16


def test_ratio_and_share_of_peak() -> None:
    ours = FIGURES.find("basnet", OURS, 4)
    assert ours
    assert FIGURES.times_eager(ours) == 2.5
    assert FIGURES.share_of_peak(ours) == pytest.approx(100 * 1.25 / 400)
    assert FIGURES.times_eager(ROWS[0]) is None  # nothing to compare with


def test_the_table_tells_what_was_measured() -> None:
    cells = [cell.strip() for cell in markdown(FIGURES).splitlines()[5].split("|")[1:-1]]
    assert cells == [
        "basnet",
        "256x320",
        "ours",
        "bfloat16",
        "2 x 1",
        "1600.0",
        "1.25",
        "2.50",
        "0.125",
        "31%",
        "0.00200",
    ]


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        pytest.param([], [], id="all met"),
        pytest.param([row("basnet", OURS, 1.01)], ["basnet, one picture"], id="basnet too slow"),
        pytest.param(
            [row("birefnet-lite", OURS, 4.3)], ["birefnet-lite, one picture"], id="birefnet too slow"
        ),
        pytest.param([row("lite", OURS, 0.07)], ["basnet's latency in lite's"], id="lite too slow"),
        pytest.param(
            [row("lite", OURS, 0.05), row("lite", OURS, 0.2, batch=4, apart=0.011)],
            ["mean absolute difference"],
            id="another alpha",
        ),
    ],
)
def test_bars_on_a_cpu(changed: list[Row], missed: list[str]) -> None:
    others = [
        old for old in ROWS if (old.network, old.way) not in {(new.network, new.way) for new in changed}
    ]
    found = verdicts(replace(FIGURES, rows=(*changed, *others)))
    assert len(found) == 4
    below = [verdict.text for verdict in found if not verdict.met]
    assert len(below) == len(missed)
    assert all(text.startswith(start) for text, start in zip(below, missed, strict=True))


@pytest.mark.parametrize("slow", [OURS, OPENVINO])
def test_lite_is_judged_each_way_that_a_cpu_runs_it(slow: str) -> None:
    rows = [row("basnet", way, 1.0) for way in (OURS, OPENVINO)]
    rows += [row("lite", way, 0.07 if way == slow else 0.05) for way in (OURS, OPENVINO)]
    found = [verdict for verdict in verdicts(replace(FIGURES, rows=tuple(rows))) if "lite's" in verdict.text]
    assert [verdict.met for verdict in found] == [slow != OURS, slow != OPENVINO]


@pytest.mark.parametrize(
    ("network", "seconds", "met"),
    [
        pytest.param("basnet", 0.016, True, id="basnet, 1,000 images/s"),
        pytest.param("basnet", 0.017, False, id="basnet, fewer"),
        pytest.param("birefnet-general", 0.16, True, id="birefnet, 10 ms"),
        pytest.param("birefnet-general", 0.17, False, id="birefnet, more"),
    ],
)
def test_bars_on_a_gpu_are_those_of_the_best_batch(network: str, seconds: float, met: bool) -> None:
    rows = (
        row(network, EAGER, seconds / 9, batch=16),
        row(network, OURS, seconds, batch=16),
        row(network, OURS, 1.0),
    )
    speed, alphas = verdicts(replace(FIGURES, device="cuda", rows=rows))
    assert (speed.met, alphas.met) == (met, True)


def test_a_network_that_was_not_run_has_no_bar() -> None:
    assert verdicts(replace(FIGURES, rows=(row("birefnet-lite", EAGER, 1.0),))) == []


def test_the_same_figures_give_the_same_picture(tmp_path: Path) -> None:
    plot.draw(FIGURES, tmp_path / "one.svg")
    plot.draw(FIGURES, tmp_path / "two.svg")
    drawn = (tmp_path / "one.svg").read_text()
    assert drawn == (tmp_path / "two.svg").read_text()
    assert all(f">{word}<" in drawn for word in ("lite", "basnet", "birefnet-lite", "eager", "ours"))
