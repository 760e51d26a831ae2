"""Both papers' networks, trained on drawn pictures, killed and resumed, exported, and served."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from api.engine import EngineConfig, LocalEngine
from model.training.loop import open_source
from model.training.recipe import Folders, Phase, Recipe
from model.training.recipes import RECIPES
from model.training.run import Run
from model.training.team import Team
from tests.model.training.conftest import disc, drawn_folder
from tests.service import serving

TEAM = Team(torch.device("cpu"))


def shortened(name: str, network: str, side: int, steps: int) -> Recipe:
    """A paper's own recipe on one folder of small pictures, from random weights."""
    data = Folders(train=("./train",), validation=("./val",), load_side=side + 32)
    recipe = replace(RECIPES[name], network=network, data=data, start="random", batch=2)
    return replace(recipe, phases=(Phase(side=side, steps=steps),), classes=0, validate_every=steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "tail"),
    [
        pytest.param(shortened("basnet", "basnet", 64, 200), 20, id="basnet, 200 steps"),
        pytest.param(shortened("birefnet-dis", "birefnet-lite", 256, 20), 3, id="birefnet swin-t, 20 steps"),
    ],
)
async def test_a_network_learns_resumes_bit_for_bit_and_is_served(
    tmp_path: Path, recipe: Recipe, tail: int
) -> None:
    data = drawn_folder(tmp_path / "data", 24, 96)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with closing(open_source(recipe, data, TEAM)) as source:
        run, losses = Run(recipe, data, whole, TEAM, tmp_path), []
        while run.step < recipe.steps:
            losses.append(float(run.advance(source)))
            if run.step == recipe.steps - tail:
                run.save()
                killed.mkdir()
                shutil.copy(run.checkpoint, killed)
        run.validate(list(source.held_out()))
    first, last = sum(losses[:tail]) / tail, sum(losses[-tail:]) / tail
    print(f"{recipe.network}: loss {first:.3f} at first, {last:.3f} at last")  # noqa: T201
    assert last < 0.9 * first

    with closing(open_source(recipe, data, TEAM)) as source:
        resumed = Run(recipe, data, killed, TEAM, tmp_path)
        assert [float(resumed.advance(source)) for _ in range(tail)] == losses[-tail:]
    for name, value in run.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name

    run.export()
    del run, resumed
    await served(recipe.network, whole)


async def served(model: str, folder: Path) -> None:
    """A request's picture is cut by the weights of this folder."""
    config = {"models": (model,), "model_dir": folder, "device": "cpu", "cores": 1}
    engine = LocalEngine(EngineConfig.model_validate(config))
    body = bytes(cv2.imencode(".png", disc(3, 200)[0])[1])
    async with serving({"limits": {"timeout": 600}}, engine=engine) as service:
        answer = await service.http.post(
            "/v1/cutouts",
            files={"image": body},
            data={"model": model},
            headers={"Accept": "image/png"},
            timeout=600,
        )
    assert answer.status_code == 200, answer.text
    cutout = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert cutout is not None
    assert cutout.shape == (200, 200, 4)
