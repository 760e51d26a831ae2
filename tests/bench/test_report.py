import pytest

from tests.bench.report import Verdict, at_least, at_most, conclude, table


def test_columns_of_a_table_stand_in_line() -> None:
    lines = table(("network", "ms"), [("lite", "41.5"), ("birefnet-lite", "3400.0")]).splitlines()
    assert lines == [
        "| network       |     ms |",
        "| ------------- | -----: |",
        "| lite          |   41.5 |",
        "| birefnet-lite | 3400.0 |",
    ]


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        pytest.param(at_least("speed", 2.0, 2.0), "- met: speed: 2.00 (at least 2.00)", id="just enough"),
        pytest.param(
            at_least("speed", 1.99, 2.0), "- **MISSED**: speed: 1.99 (at least 2.00)", id="too little"
        ),
        pytest.param(at_most("ms", 60.0, 60.0, "{:.0f}"), "- met: ms: 60 (at most 60)", id="just few enough"),
        pytest.param(at_most("ms", 61.0, 60.0, "{:.0f}"), "- **MISSED**: ms: 61 (at most 60)", id="too many"),
        pytest.param(
            at_most("ms", float("nan"), 60.0, "{:.0f}"),
            "- **MISSED**: ms: nan (at most 60)",
            id="no figure at all",
        ),
    ],
)
def test_a_verdict_names_figure_and_bar(verdict: Verdict, said: str) -> None:
    assert str(verdict) == said


@pytest.mark.parametrize(
    ("met", "status"), [pytest.param([True, True], 0, id="met"), pytest.param([True, False], 1, id="missed")]
)
def test_a_missed_bar_fails_the_command(met: list[bool], status: int) -> None:
    with pytest.raises(SystemExit) as ended:
        conclude([Verdict("a bar", one) for one in met])
    assert ended.value.code == status
