"""objectcut train: what stops it is told in a line; a shop's folder is one command from its own model."""

from pathlib import Path

import cv2
import pytest
import torch
from typer.testing import CliRunner, Result

from api.cli import app
from api.commands.train import Name
from model.training.recipes import RECIPES
from tests.model.training.conftest import disc


def train(*arguments: str | Path) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["train", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param(["lite", "--data", "."], 1, "the pack masks-unlabelled", id="no packs"),
        pytest.param(["lite"], 2, "--data", id="no data folder"),
        pytest.param(["u2net", "--data", "."], 2, "'u2net' is not one of", id="no recipe"),
        pytest.param(["finetune", "--data", "."], 1, "there is no folder images", id="no pictures"),
        pytest.param(["basnet", "--data", "."], 1, "no DUTS/train in", id="no data set"),
        pytest.param(
            ["basnet", "--data", ".", "--dataset", "DUTS/tests"], 1, "has no split 'tests'", id="no split"
        ),
        pytest.param(["lite", "--data", ".", "--dataset", "DUTS/train"], 1, "on packs", id="packs"),
        pytest.param(["lite", "--data", ".", "--without", "pairs-dogs"], 1, "pairs-dogs", id="no such pack"),
        pytest.param(["basnet", "--data", ".", "--without", "DUTS"], 1, "not on packs", id="no packs at all"),
        pytest.param(["finetune", "--data", ".", "--start", "u3"], 1, "no model 'u3'", id="no model"),
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
    result = train(*arguments)
    assert result.exit_code == status, result.output
    assert says in " ".join(result.stderr.replace("│", " ").split())


def test_every_recipe_can_be_named() -> None:
    assert set(Name.__args__) == set(RECIPES)  # type: ignore[attr-defined]


def test_a_shop_trains_on_its_folder_and_imports_the_result(tmp_path: Path) -> None:
    products, models = tmp_path / "products", tmp_path / "data"
    for folder in ("images", "masks"):
        (products / folder).mkdir(parents=True)
    for seed in range(6):
        for folder, pixels in zip(("images", "masks"), disc(seed), strict=True):
            cv2.imwrite(str(products / folder / f"product{seed}.png"), pixels)
    out = tmp_path / "run"
    options = ["--steps", "1", "--batch", "2", "--device", "cpu", "--data-dir", str(models)]
    result = train("finetune", "--data", products, "--out", out, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(out / "lite.safetensors")
    assert "./train: 5 pictures" in (out / "MODEL_CARD.md").read_text()

    invoke = CliRunner(env={"COLUMNS": "200"}).invoke
    arguments = ["models", "import", "lite", str(out / "lite.safetensors"), "--data-dir", str(models)]
    assert invoke(app, arguments).exit_code == 0
    verified = invoke(app, ["models", "verify", "lite", "--data-dir", str(models)])
    assert verified.stdout.startswith("lite: whole")
    for data, state in ((models, "here"), (tmp_path / "empty", "shipped")):
        listed = invoke(app, ["models", "list", "--data-dir", str(data)]).stdout
        assert listed.splitlines()[1].split()[:2] == ["lite", state]
