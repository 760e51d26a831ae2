"""objectcut train: what stops it is told in a line."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from api.cli import app


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(["lite", "--data", "."], 1, "backbone", id="no packs"),
        pytest.param(["lite"], 2, "--data", id="no data folder"),
        pytest.param(["basnet", "--data", "."], 2, "'basnet' is not one of", id="no recipe"),
        pytest.param(
            ["lite", "--data", ".", "--device", "cuda"],
            1,
            "'cuda' was asked for",
            id="no gpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_what_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["train", *arguments])
    assert result.exit_code == status, result.output
    assert says in " ".join(result.stderr.replace("│", " ").split())
