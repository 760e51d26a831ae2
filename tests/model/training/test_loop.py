import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model.nets.lite import Lite
from model.training.loop import Run, read_library, schedule, train
from model.training.recipe import RECIPES, Phase, Recipe
from model.training.scenes import Scenes

CPU = torch.device("cpu")


def test_schedule_warms_up_holds_and_decays(recipe: Recipe) -> None:
    assert [schedule(recipe, step) for step in range(5)] == [
        (32, 0.5),
        (32, 1.0),
        (32, 1.0),
        (64, 1.0),
        (64, 0.5),
    ]
    with pytest.raises(ValueError, match="after the last phase"):
        schedule(recipe, 5)


def test_a_killed_run_continues_identically(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    whole = train(recipe, data, tmp_path / "whole", device="cpu")

    first = Run(recipe, data, tmp_path / "parts", CPU)
    scenes = Scenes(read_library(data, recipe, CPU), recipe, CPU)
    for _ in range(2):
        first.advance(scenes)
    first.save()
    first.advance(scenes)  # lost: the kill comes before the next checkpoint
    resumed = train(recipe, data, tmp_path / "parts", device="cpu")

    expected, got = load_file(whole), load_file(resumed)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name


def test_export_is_half_precision_and_loads_strictly(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    path = train(recipe, data, tmp_path / "run", device="cpu")
    weights = load_file(path)
    assert {t.dtype for t in weights.values() if t.is_floating_point()} == {torch.float16}
    network = Lite()
    network.load_state_dict(weights, strict=True)
    assert (tmp_path / "run" / "lite.golden.npy").is_file()
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_the_result_blends_the_snapshots(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    run = Run(recipe, data, tmp_path, CPU)
    scenes = Scenes(read_library(data, recipe, CPU), recipe, CPU)
    run.advance(scenes)
    earlier = run.average["context.reduce.weight"].clone()
    run.advance(scenes)
    later = run.average["context.reduce.weight"]
    assert not torch.equal(earlier, later)
    written = load_file(run.export())["context.reduce.weight"]
    assert torch.equal(written, (0.25 * earlier + 0.75 * later).half())


def test_training_learns(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    longer = dataclasses.replace(recipe, phases=(Phase(side=32, steps=100),), warmup_steps=1, batch=8)
    run = Run(longer, data, tmp_path, CPU)
    scenes = Scenes(read_library(data, longer, CPU), longer, CPU)
    losses = [run.advance(scenes) for _ in range(40)]
    assert sum(losses[-8:]) < 0.93 * sum(losses[:8])


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.phases[-1].decay
    assert all(phase.side % 32 == 0 and phase.steps > 0 for phase in recipe.phases)
    for weights in (recipe.pairs, recipe.foregrounds, recipe.backgrounds):
        assert all(weight >= 0 for weight in weights.values())
        assert sum(weights.values()) > 0
    assert sum(recipe.snapshots.values()) < 1
    assert all(step < sum(phase.steps for phase in recipe.phases) for step in recipe.snapshots)
