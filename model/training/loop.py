"""The training loop, for every recipe: steps, log, validation, checkpoints, and the result with its card."""

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from model.training.batches import Source
from model.training.card import card
from model.training.folders import FolderSource
from model.training.pictures import Pixels
from model.training.recipe import Folders, Recipe
from model.training.run import ADVICE, Run
from model.training.scenes import Scenes
from model.training.team import Team, joined

__all__ = ["open_source", "train"]

LOG_EVERY = 20
PICTURES_EVERY = 500
"""Steps."""


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    device: torch.device,
    checkpoint_every: int = 200,
    steps: int | None = None,
    model_dir: Path = Path("models"),
) -> Path:
    """Trains what the recipe says; the weights' file, out/NAME.safetensors, with its card beside it.

    Continues from out/checkpoint.pt when there is one. steps: instead of the recipe's. model_dir: where the
    weights of the registry's models are. Started by torchrun, joins the other processes.

    Raises PackError when the data does not fit, ModelUnavailable without weights to begin from, and
    ValueError for a checkpoint of another recipe and for a loss that is no number.
    """
    with joined(device) as team, closing(open_source(recipe, data, team)) as source:
        scheduled = recipe.scheduled(source.pictures, processes=team.size, steps=steps)
        run = Run(scheduled, data, out, team, model_dir)
        _follow(run, source, checkpoint_every)
        if team.leads:
            pin = run.export()
            (out / "MODEL_CARD.md").write_text(card(run, source.described, pin), encoding="utf-8")
        return out / run.spec.weights.file


def open_source(recipe: Recipe, data: Path, team: Team) -> Source:
    """What this process feeds on. Raises PackError."""
    if isinstance(recipe.data, Folders):
        return FolderSource(
            data,
            recipe.data,
            team.device,
            size=recipe.batch,
            seed=recipe.seed,
            stride=team.size,
            classes=recipe.classes,
        )
    return Scenes(data, recipe.data, team.device, size=recipe.batch, seed=recipe.seed)


def _follow(run: Run, source: Source, checkpoint_every: int) -> None:
    """To the last step, with a log, validation and checkpoints."""
    every = run.recipe.validate_every
    held_out = list(source.held_out()) if every and run.team.leads else []
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, disable=not run.team.leads) as progress:
        bar = progress.add_task("", total=run.recipe.steps, completed=run.step)
        if not run.team.leads:
            while run.step < run.recipe.steps:
                run.advance(source)
            return
        # Of steps after the checkpoint, which come again; what was logged before it was written is on disk.
        with SummaryWriter(str(run.out), purge_step=run.step + 1 if run.step else 0) as log:
            if every and run.step == 0:
                _judge(run, held_out, log)  # so that nothing worse than the beginning is exported
            while run.step < run.recipe.steps:
                loss = run.advance(source)
                last = run.step == run.recipe.steps
                progress.update(bar, completed=run.step)
                if run.step % LOG_EVERY == 0 or last:
                    _note(run, float(loss), log, progress, bar)
                if run.step % PICTURES_EVERY == 0 or last:
                    _show(run, log)
                if every and (run.step % every == 0 or last):
                    _judge(run, held_out, log)
                if run.step % checkpoint_every == 0 or last:
                    log.flush()
                    run.save()


def _note(run: Run, loss: float, log: SummaryWriter, progress: Progress, bar: TaskID) -> None:
    if not math.isfinite(loss):
        raise ValueError(f"the loss is {loss} at step {run.step}: {ADVICE}")
    best = f", best IoU {run.best.iou:.4f}" if run.best else ""
    progress.update(bar, description=f"loss {loss:.3f}{best}")
    log.add_scalar("loss", loss, run.step)
    log.add_scalar("learning_rate", run.optimizer.param_groups[0]["lr"], run.step)


def _show(run: Run, log: SummaryWriter) -> None:
    if run.shown:
        pictures, mattes, alphas = run.shown
        rows = torch.cat([pictures, *(maps.expand(-1, 3, -1, -1) for maps in (mattes, alphas))])
        log.add_images("picture, matte, network", rows.clamp(0, 1), run.step)


def _judge(run: Run, held_out: Sequence[Pixels], log: SummaryWriter) -> None:
    found = run.validate(list(held_out))
    log.add_scalar("validation/iou", found.iou, run.step)
    log.add_scalar("validation/mae", found.mae, run.step)
