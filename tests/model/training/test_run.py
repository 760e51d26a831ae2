"""One run: what it computes, what a kill costs it, what comes out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.parallel import DistributedDataParallel

from model.nets.lite import Lite
from model.training.batches import Batch
from model.training.pictures import Pixels
from model.training.recipe import Packs, Phase, Precision, Recipe
from model.training.recipes import recipe_of
from model.training.run import Run, working_precision
from model.training.scenes import Scenes
from model.training.team import Team
from tests.model.training.conftest import disc

CPU = torch.device("cpu")
TEAM = Team(CPU)


def opened(recipe: Recipe, data: Path, out: Path) -> tuple[Run, Scenes]:
    scenes = Scenes(data, recipe.data, CPU, size=recipe.batch, seed=recipe.seed)  # type: ignore[arg-type]
    return Run(recipe, data, out, TEAM, data), scenes


def test_export_is_half_precision_and_loads_strictly(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    run = Run(replace(recipe, snapshots={}), data, tmp_path / "run", TEAM, data)
    run.export()
    weights = load_file(tmp_path / "run" / "lite.safetensors")
    assert {t.dtype for t in weights.values() if t.is_floating_point()} == {torch.float16}
    network = Lite()
    network.load_state_dict(weights, strict=True)
    assert (tmp_path / "run" / "lite.golden.npy").is_file()


def test_the_result_blends_the_snapshots(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    run, scenes = opened(replace(recipe, snapshots={0: 0.25, 1: 0.25}), data, tmp_path)
    averages = [run.average["context.reduce.weight"].clone()]
    for _ in range(2):
        run.advance(scenes)
        averages.append(run.average["context.reduce.weight"].clone())
    begun, earlier, later = averages
    assert not torch.equal(begun, earlier)
    assert not torch.equal(earlier, later)
    run.export()
    written = load_file(tmp_path / "lite.safetensors")["context.reduce.weight"]
    assert torch.equal(written, (0.5 * later).add(begun, alpha=0.25).add(earlier, alpha=0.25).half())


def test_training_learns(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    longer = replace(recipe, phases=(Phase(side=32, steps=100),), warmup_steps=1, batch=8)
    run, scenes = opened(longer, data, tmp_path)
    losses = [float(run.advance(scenes)) for _ in range(16)]
    assert sum(losses[-4:]) < 0.97 * sum(losses[:4])


class Turns:
    """A source whose batches are a whole one's parts, in turns; it keeps which it was asked for."""

    pictures, described = 4, ()

    def __init__(self, whole: Batch, parts: int = 1) -> None:
        self.parts = list(zip(whole.pictures.chunk(parts), whole.mattes.chunk(parts), strict=True))
        self.asked: list[int] = []

    def batch(self, turn: int, side: int) -> Batch:
        self.asked.append(turn)
        return Batch(*self.parts[turn % len(self.parts)])

    def held_out(self) -> list[Pixels]:
        return []

    def close(self) -> None:
        pass


def test_accumulated_gradients_are_those_of_the_batches_together(
    data: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """The mean of two batches' gradients, for which batch norm must not tell a batch from its half."""
    plain = replace(recipe, precision="float32", optimizer="adam", weight_decay=0.0)
    gradients = []
    for accumulate in (1, 2):
        run, scenes = opened(replace(plain, accumulate=accumulate), data, tmp_path / str(accumulate))
        for module in run.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        run.advance(Turns(scenes.batch(0, 32), accumulate))
        gradients.append({name: p.grad for name, p in run.network.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-2, atol=2e-3, msg=name)


def test_processes_share_the_turns_out(
    data: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is one process's, whatever is accumulated."""

    class Alone(DistributedDataParallel):
        """Takes part in nothing."""

        def __init__(self, module: torch.nn.Module, **_: object) -> None:
            torch.nn.Module.__init__(self)
            self.module = module

        def forward(self, pictures: torch.Tensor) -> object:
            return self.module(pictures)

        @contextmanager
        def no_sync(self) -> Iterator[None]:
            yield

    monkeypatch.setattr("model.training.run.DistributedDataParallel", Alone)
    recipe = replace(recipe, accumulate=2, snapshots={})
    asked = []
    for rank in range(2):
        run = Run(recipe, data, tmp_path / str(rank), Team(CPU, rank, 2), data)
        turns = Turns(Batch(torch.rand(2, 3, 32, 32), torch.rand(2, 1, 32, 32)))
        for _ in range(2):
            run.advance(turns)
        asked.append(turns.asked)
    assert asked == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_a_checkpoint_never_holds_what_is_no_number(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    run = Run(recipe, data, tmp_path, TEAM, data)
    run.save()
    before = run.checkpoint.read_bytes()
    run.average["context.reduce.weight"].view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match="no numbers at step 0: train in another precision"):
        run.save()
    assert run.checkpoint.read_bytes() == before


def test_a_network_of_another_shape_than_a_square(data: Path, tmp_path: Path) -> None:
    """It learns from pictures squeezed to its shape, and is judged on such."""
    recipe = replace(recipe_of("finetune", "birefnet-lite-2k"), start="random", snapshots={})
    run = Run(recipe, data, tmp_path, TEAM, data)
    shapes = []
    run.network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape[2:])))
    squares = [np.dstack(disc(seed, 128)) for seed in range(2)]
    maps = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 255
    loss = run.advance(Turns(Batch(maps[:, :3], maps[:, 3:])))
    assert loss.isfinite()
    assert shapes == [(64, 128)]
    assert 0 <= run.validate(squares).iou <= 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_every_precision_trains_and_resumes_identically(
    data: Path, recipe: Recipe, tmp_path: Path, precision: Precision
) -> None:
    recipe = replace(recipe, precision=precision, phases=(Phase(side=32, steps=3),), snapshots={})
    whole, scenes = opened(recipe, data, tmp_path)
    whole.advance(scenes)
    whole.save()
    expected = [float(whole.advance(scenes)) for _ in range(2)]
    resumed, scenes = opened(recipe, data, tmp_path)
    assert resumed.step == 1
    assert [float(resumed.advance(scenes)) for _ in range(2)] == expected
    assert {p.dtype for p in resumed.network.parameters()} == {torch.float32}


def test_older_checkpoints_that_tell_less_of_their_packs_go_on(
    data: Path, recipe: Recipe, tmp_path: Path
) -> None:
    run = Run(recipe, data, tmp_path, TEAM, data)
    run.save()
    state = torch.load(run.checkpoint, weights_only=True)
    told = json.loads(state["recipe"])[0]["data"]
    assert not {"left_out", "least_view"} & told.keys()
    assert isinstance(recipe.data, Packs)
    closer = replace(recipe, data=replace(recipe.data, least_view=0.85))
    with pytest.raises(ValueError, match="of another recipe"):
        Run(closer, data, tmp_path, TEAM, data)


def test_a_checkpoint_of_another_recipe_is_refused(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    Run(recipe, data, tmp_path, TEAM, data).save()
    with pytest.raises(ValueError, match="of another recipe"):
        Run(replace(recipe, batch=5), data, tmp_path, TEAM, data)


def test_the_best_weights_are_kept(data: Path, recipe: Recipe, tmp_path: Path) -> None:
    run = Run(replace(recipe, snapshots={}), data, tmp_path, TEAM, data)
    pictures = [np.dstack([picture, matte]) for picture, matte in (disc(seed, 64) for seed in range(3))]
    best = run.validate(pictures)
    kept = {name: value.clone() for name, value in run.average.items()}
    for value in run.average.values():
        if value.is_floating_point():
            value.fill_(torch.nan)
    run.validate(pictures)
    assert run.best == best, "nothing that is no number is better"
    run.export()
    written = load_file(tmp_path / "lite.safetensors")
    assert torch.equal(written["context.reduce.weight"], kept["context.reduce.weight"].half())


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        pytest.param("float32", None, id="float32"),
        pytest.param("bfloat16", torch.bfloat16, id="bfloat16"),
        pytest.param("float16", torch.float16, id="float16"),
    ],
)
def test_working_precision(precision: Precision, dtype: torch.dtype | None) -> None:
    assert working_precision(precision, CPU) is dtype
