"""objectcut models."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from model.registry import REGISTRY

RUNNER = CliRunner(env={"COLUMNS": "200"})


def test_every_model_is_listed_and_what_is_missing_is_told(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["models", "--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for spec in REGISTRY.values():
        (line,) = (line for line in lines if line.split()[:1] == [spec.name])
        assert line.split()[1] == ("yes" if spec.weights.shipped else "no")
        assert str(spec.side) in line
        assert spec.licence in line
    assert "objectcut models import basnet FILE" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        pytest.param("nope", 2, "there are lite", id="no such model"),
        pytest.param("lite", 2, "come with objectcut", id="a shipped one"),
        pytest.param("basnet", 1, "not a readable checkpoint", id="no checkpoint"),
    ],
)
def test_an_import_that_is_refused_leaves_nothing(tmp_path: Path, name: str, code: int, says: str) -> None:
    file, data = tmp_path / "weights.pth", tmp_path / "data"
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    result = RUNNER.invoke(app, ["models", "import", name, str(file), "--data-dir", str(data)])
    assert result.exit_code == code
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert not data.exists()
