"""objectcut keys."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.cli import app
from tests.api.accounts.redis_server import BINARY, MISSING, redis_server

PLANS = '{"pro": {"credits": 12.5}}'


def objectcut(folder: Path, *arguments: str, **variables: str) -> Result:
    """The command; its answer is printed in wide lines."""
    environment = {"COLUMNS": "200", "OBJECTCUT_DATA_DIR": str(folder), "OBJECTCUT_ACCOUNTS__PLANS": PLANS}
    return CliRunner(env=environment | variables).invoke(app, ["keys", *arguments])


def create(folder: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    """A new key and its id."""
    result = objectcut(folder, "create", *arguments, **variables)
    assert result.exit_code == 0, result.output
    key = result.stdout.strip()
    assert re.fullmatch(r"oc_[0-9a-f]{12}_[\w-]{43}", key), "nothing else on standard output"
    (id,) = re.findall(r"key_[0-9a-f]{12}", result.stderr)
    return key, id


def row(folder: Path, id: str, **variables: str) -> list[str]:
    """The cells of one key's line."""
    result = objectcut(folder, "list", **variables)
    (cells,) = [line.split() for line in result.stdout.splitlines() if id in line]
    return cells


def test_a_life(tmp_path: Path) -> None:
    key, id = create(tmp_path, "--label", "[b]shop[/b]", "--plan", "pro")
    assert row(tmp_path, id)[1:5] == ["[b]shop[/b]", "pro", "12.5", "12.5"]
    assert objectcut(tmp_path, "credit", id, "7.25").exit_code == 0
    assert row(tmp_path, id)[3:5] == ["19.75", "19.75"]
    assert len(row(tmp_path, id)) == 6
    assert objectcut(tmp_path, "revoke", id).exit_code == 0
    assert len(row(tmp_path, id)) == 7, "the day when it was revoked"
    again = objectcut(tmp_path, "revoke", id)
    assert (again.exit_code, "revoked before" in again.stderr) == (1, True)
    listed = objectcut(tmp_path, "list")
    assert key not in listed.output
    assert key[16:] not in listed.output
    assert not any(key.encode() in file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "cells"),
    [
        pytest.param([], ["default"], id="unlimited"),
        pytest.param(["--credits", "3"], ["default", "3", "3"], id="credits of its own"),
        pytest.param(["--plan", "pro", "--credits", "0"], ["pro", "0", "0"], id="none to start with"),
    ],
)
def test_credits_to_start_with(tmp_path: Path, arguments: list[str], cells: list[str]) -> None:
    _, id = create(tmp_path, *arguments)
    assert row(tmp_path, id)[1:-1] == cells


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        pytest.param(["create", "--plan", "prp"], 2, "no such plan", id="no such plan"),
        pytest.param(["create", "--credits", "-1"], 2, "--credits", id="debt"),
        pytest.param(["revoke", "key_nobody"], 1, "no such key", id="revoke nobody"),
        pytest.param(["credit", "key_nobody", "5"], 1, "no such key", id="credit nobody"),
        pytest.param(["credit", "key_nobody", "0"], 2, "0", id="nothing"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: list[str], status: int, told: str) -> None:
    result = objectcut(tmp_path, *arguments)
    assert (result.exit_code, told in result.stderr) == (status, True), result.output
    assert not list(tmp_path.iterdir())


def test_a_key_without_limits_needs_no_credits(tmp_path: Path) -> None:
    _, id = create(tmp_path)
    result = objectcut(tmp_path, "credit", id, "5")
    assert (result.exit_code, "unlimited" in result.stderr) == (1, True)


def test_nothing_is_listed_where_nothing_is(tmp_path: Path) -> None:
    result = objectcut(tmp_path / "new", "list")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert not list(tmp_path.iterdir())


def test_the_same_in_redis(tmp_path: Path) -> None:
    if BINARY is None:
        pytest.skip(MISSING)
    with redis_server(tmp_path) as url:
        shared = {"OBJECTCUT_ACCOUNTS__REDIS_URL": url}
        _, id = create(tmp_path, "--credits", "2", **shared)
        assert objectcut(tmp_path, "credit", id, "1", **shared).exit_code == 0
        assert row(tmp_path, id, **shared)[2:4] == ["3", "3"]
    assert not (tmp_path / "accounts.sqlite").exists()


def test_a_redis_url_that_is_none(tmp_path: Path) -> None:
    result = objectcut(tmp_path, "list", OBJECTCUT_ACCOUNTS__REDIS_URL="http://:hidden@127.0.0.1")
    assert result.exit_code == 2
    assert "hidden" not in result.output
