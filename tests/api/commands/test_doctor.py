"""objectcut doctor: what is broken is found, and only what is needed fails it."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app

FREE = "0"


def examined(*arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit status, and each check by its name."""
    result = CliRunner(env=variables).invoke(app, ["doctor", "--json", *arguments])
    report = json.loads(result.stdout)
    assert report["ok"] == (result.exit_code == 0)
    return result.exit_code, {check["name"]: check for check in report["checks"]}


def test_a_healthy_installation(tmp_path: Path) -> None:
    status, checks = examined("--port", FREE, "--data-dir", str(tmp_path))
    assert status == 0, checks
    assert {"python", "torch", "opencv-python-headless", "isal", "access", "port", "disk"} < checks.keys()
    assert "self-test passed" in checks["model lite"]["detail"]
    assert not checks["access"]["ok"], "no key is set: told, but `serve --anonymous` works"


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, checks = examined("--port", port, "--data-dir", str(tmp_path))
    assert (status, checks["port"]["ok"]) == (1, False)
    assert port in checks["port"]["detail"]


@pytest.mark.parametrize(
    ("setting", "value", "broken", "says"),
    [
        pytest.param("ENGINE__MODELS", '["nope"]', "model nope", "no such model", id="unknown model"),
        pytest.param("ENGINE__MODELS", '["basnet"]', "model basnet", "import basnet", id="no weights"),
        pytest.param("ENGINE__DEVICE", "mps", "model lite", "'mps' was asked for", id="no such device"),
        pytest.param("STORE__MIN_FREE_BYTES", str(10**18), "disk", "GB free", id="disk under its floor"),
    ],
)
def test_what_is_needed_and_broken(tmp_path: Path, setting: str, value: str, broken: str, says: str) -> None:
    status, checks = examined("--port", FREE, "--data-dir", str(tmp_path), **{f"OBJECTCUT_{setting}": value})
    assert status == 1
    assert [name for name, check in checks.items() if check["needed"] and not check["ok"]] == [broken]
    assert says in checks[broken]["detail"]


def test_a_data_dir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    _, checks = examined("--port", FREE, "--data-dir", str(tmp_path / "file" / "data"))
    assert not checks["disk"]["ok"]


def test_a_misspelt_variable_ends_it() -> None:
    result = CliRunner(env={"OBJECTCUT_PROT": "1"}).invoke(app, ["doctor"])
    assert result.exit_code == 2
    assert "OBJECTCUT_PORT is" in result.stderr


def test_people_read_a_table(tmp_path: Path) -> None:
    result = CliRunner(env={"OBJECTCUT_ENGINE__MODELS": '["nope"]'}).invoke(
        app, ["doctor", "--port", FREE, "--data-dir", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert "BROKEN" in result.stdout
    assert "missing" in result.stdout
