"""objectcut bulk: what is refused before any cluster is there. What it does there is in tests/ray."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app


def invoked(*arguments: str) -> tuple[int, str]:
    """Exit status, and what standard error says in one line."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["bulk", *arguments])
    return result.exit_code, " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["in"], "Missing argument 'DST'", id="no target"),
        pytest.param(
            ["in", "out", "--radius", "65"], "less than or equal to 64", id="an option out of range"
        ),
        pytest.param(
            ["in", "out", "--background", "red", "--background-image", "in/a.jpg"],
            "not together",
            id="two backgrounds",
        ),
    ],
)
def test_a_command_line_that_makes_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.jpg").write_bytes(b"a photo")
    status, told = invoked(*arguments)
    assert status == 2
    assert says in told
    assert not Path("out").exists()


@pytest.mark.parametrize("missing", ["ray", "pyarrow"])
def test_without_ray_it_names_what_brings_it(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from api.cli import main; main()"
    command = [sys.executable, "-W", "error", "-c", code, "bulk", "in", "out"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "pip install 'objectcut[ray]'" in told.stderr
    assert "Traceback" not in told.stderr
