"""objectcut models."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
from typer.testing import CliRunner

from api.cli import app
from model import runtimes
from model.config import EngineConfig
from model.registry import REGISTRY
from tests.hub import Hub
from tests.model.toy import Toy, toy_spec

RUNNER = CliRunner(env={"COLUMNS": "200"})
REPO = "org/toy"
GOOD = safetensors.torch.save(Toy().state_dict())
COMMAND = """
import sys
from dataclasses import replace
from api.cli import main
from model.registry import REGISTRY
from tests.model.toy import toy_spec
spec = toy_spec()
REGISTRY["toy"] = replace(spec, weights=replace(spec.weights, repo="org/toy"))
sys.argv[0] = "objectcut"
main()
"""


def objectcut(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, as huggingface_hub reads its variables but once; with the toy."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env=os.environ | {"HF_HUB_OFFLINE": "0"} | environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model more in the registry."""
    assert isinstance(REGISTRY, dict)
    spec = toy_spec()
    monkeypatch.setitem(REGISTRY, "toy", replace(spec, weights=replace(spec.weights, repo=REPO)))


@pytest.mark.parametrize("command", [pytest.param([], id="models"), pytest.param(["list"], id="models list")])
def test_every_model_is_listed_and_what_is_missing_is_told(tmp_path: Path, command: list[str]) -> None:
    result = RUNNER.invoke(app, ["models", *command, "--data-dir", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    for spec in REGISTRY.values():
        (line,) = (line for line in lines if line.split()[:1] == [spec.name])
        assert ("shipped" if spec.weights.shipped else "not here") in line
        assert f"{spec.size[1]}x{spec.size[0]}" in line
        assert runtimes.chosen(spec, EngineConfig()) in line
        assert spec.licence in line
        assert not spec.weights.megabytes or str(spec.weights.megabytes) in line
    assert "objectcut models pull NAME" in result.stdout
    assert "objectcut models import basnet FILE" in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_toy")
def test_what_is_imported_is_here_and_whole(tmp_path: Path) -> None:
    (tmp_path / "published.safetensors").write_bytes(GOOD)
    data = ["--data-dir", str(tmp_path / "data")]
    result = RUNNER.invoke(app, ["models", "import", "toy", str(tmp_path / "published.safetensors"), *data])
    assert result.exit_code == 0, result.output
    path = Path(result.stdout.strip())
    assert path.read_bytes() == GOOD

    (line,) = (
        line
        for line in RUNNER.invoke(app, ["models", *data]).stdout.splitlines()
        if line.split()[:2] == ["toy", "here"]
    )
    assert "not here" not in line
    result = RUNNER.invoke(app, ["models", "verify", *data])
    assert result.exit_code == 0, result.output
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["lite", "toy"]

    path.write_bytes(GOOD[:-1])
    result = RUNNER.invoke(app, ["models", "verify", "toy", "lite", *data])
    assert result.exit_code == 1
    assert "toy: the weights of model 'toy' are damaged" in result.stderr
    assert result.stdout.startswith("lite: whole"), "one's failure is not the other's"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(["import", "nope", "FILE"], 2, "there are lite", id="import no such model"),
        pytest.param(["import", "lite", "FILE"], 1, "not a readable checkpoint", id="import no lite"),
        pytest.param(["import", "basnet", "FILE"], 1, "not a readable checkpoint", id="import no checkpoint"),
        pytest.param(["pull", "nope"], 2, "there are lite", id="pull no such model"),
        pytest.param(["pull", "lite"], 2, "come with objectcut", id="pull a shipped one"),
        pytest.param(["pull", "basnet"], 2, "objectcut models import basnet", id="pull from no hub"),
        pytest.param(["verify", "nope"], 2, "there are lite", id="verify no such model"),
        pytest.param(
            ["verify", "birefnet-lite"], 1, "objectcut models pull birefnet-lite", id="verify nothing"
        ),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    file, data = tmp_path / "weights.pth", tmp_path / "data"
    file.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    arguments = [str(file) if word == "FILE" else word for word in arguments]
    result = RUNNER.invoke(app, ["models", *arguments, "--data-dir", str(data)])
    assert result.exit_code == code
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert not data.exists()


def test_pull_from_the_endpoint_of_the_environment(tmp_path: Path) -> None:
    with Hub({REPO: GOOD}) as hub:
        done = objectcut("models", "pull", "toy", "--data-dir", str(tmp_path), HF_ENDPOINT=hub.url)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()).read_bytes() == GOOD
        assert hub.ranges == [None]

        hub.files.clear()
        (tmp_path / "models" / "toy.safetensors").unlink()
        done = objectcut("models", "pull", "toy", "--data-dir", str(tmp_path), HF_ENDPOINT=hub.url)
        assert done.returncode == 1
        assert "the hub answered 404" in done.stderr
        assert "Traceback" not in done.stderr


def test_offline_there_is_the_cache_and_nothing_else(tmp_path: Path) -> None:
    with Hub({REPO: GOOD}) as hub:
        cache = tmp_path / "cache" / "models--org--toy"
        snapshot = cache / "snapshots" / hub.commit(REPO)
        environment = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
        }
        command = ("models", "pull", "toy", "--data-dir", str(tmp_path))
        done = objectcut(*command, **environment)
        assert done.returncode == 1
        assert "HF_HUB_OFFLINE is set, and org/toy at main is not in the cache" in done.stderr

        snapshot.mkdir(parents=True)
        (snapshot / "model.safetensors").write_bytes(GOOD)
        (cache / "refs").mkdir()
        (cache / "refs" / "main").write_text(hub.commit(REPO))
        done = objectcut(*command, **environment)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "models" / "toy.safetensors").read_bytes() == GOOD
        assert (snapshot / "model.safetensors").read_bytes() == GOOD
        assert hub.commit(REPO) in (tmp_path / "models" / "models.lock").read_text()
        assert hub.asked == []
