"""The training loop: phases of a recipe, resumable at any checkpoint with an identical continuation."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from model.device import half_precisions
from model.nets.lite import Lite
from model.registry import REGISTRY
from model.training.losses import deeply_supervised
from model.training.packs import read_pairs, read_pictures, validation_names
from model.training.recipe import Recipe
from model.training.scenes import Library, Scenes
from model.weights import store

SPEC = REGISTRY["lite"]
BACKBONE = "backbone-mobilenetv2-imagenet.safetensors"


def train(
    recipe: Recipe, data: Path, out: Path, *, device: str = "auto", checkpoint_every: int = 200
) -> Path:
    """Trains `lite` and writes out/lite.safetensors (float16), returned; checkpoints and the log go to `out`.

    Continues from out/checkpoint.pt when there is one. Raises PackError when the data does not fit.
    """
    chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    run = Run(recipe, data, out, chosen)
    library = read_library(data, recipe, chosen)
    scenes = Scenes(library, recipe, chosen)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with SummaryWriter(str(out)) as log, Progress(*columns) as progress:
        bar = progress.add_task("", total=run.total_steps, completed=run.step)
        while run.step < run.total_steps:
            loss = run.advance(scenes)
            progress.update(bar, completed=run.step)
            if run.step % 20 == 0:
                progress.update(bar, description=f"loss {loss:.3f}")
                log.add_scalar("loss", loss, run.step)
                log.add_scalar("learning_rate", run.optimizer.param_groups[0]["lr"], run.step)
            if run.step % checkpoint_every == 0 or run.step == run.total_steps:
                run.save()
    return run.export()


def read_library(data: Path, recipe: Recipe, device: torch.device) -> Library:
    """The packs of the recipe, without any validation picture, on the device."""
    held_out = validation_names(data, recipe)
    taken: set[tuple[str, str]] = set()

    def keep(pack: str, stem: str) -> bool:
        """A picture with masks in two packs is used once, with the mask of the pack listed first."""
        new = (pack, stem) not in held_out and (pack, stem) not in taken
        taken.add((pack, stem))
        return new

    library = Library(
        tuple(read_pairs(data, name, recipe, keep) for name in recipe.pairs),
        tuple(read_pictures(data, name, recipe, alpha=True) for name in recipe.foregrounds),
        tuple(read_pictures(data, name, recipe, alpha=False) for name in recipe.backgrounds),
    )
    for packs in (library.pairs, library.foregrounds, library.backgrounds):
        for pack in packs:
            pack.pictures = pack.pictures.to(device)
    return library


class Run:
    """The state that a checkpoint holds: network, its moving average, snapshots of that, optimiser, step."""

    def __init__(self, recipe: Recipe, data: Path, out: Path, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        out.mkdir(parents=True, exist_ok=True)
        self.recipe, self.out, self.device = recipe, out, device
        self.total_steps = sum(phase.steps for phase in recipe.phases)
        self.mean, self.std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (SPEC.mean, SPEC.std))
        self.network = Lite()
        self.network.encoder.load_pretrained(load_file(data / BACKBONE))
        self.network.to(device).train()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Lists, not sets: a resumed run must meet the parameters in the same order.
        encoder = [p for name, p in self.network.named_parameters() if name.startswith("encoder.")]
        rest = [p for name, p in self.network.named_parameters() if not name.startswith("encoder.")]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": rest, "peak": recipe.learning_rate},
                {"params": encoder, "peak": recipe.encoder_learning_rate},
            ],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )
        self.bf16 = torch.bfloat16 in half_precisions(device)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.step = 0
        if self.checkpoint.exists():
            self._resume()

    @property
    def checkpoint(self) -> Path:
        """Where the state lies between runs."""
        return self.out / "checkpoint.pt"

    def advance(self, scenes: Scenes) -> float:
        """One optimiser step; returns its loss."""
        side, rate = schedule(self.recipe, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        pictures, mattes = scenes.batch(self.step, side)
        pictures = ((pictures - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            outputs = self.network(pictures)
        loss = deeply_supervised([output.float() for output in outputs], mattes, least_scale=4)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self._average()
        if self.step in self.recipe.snapshots:
            self.snapshots[self.step] = {name: value.clone() for name, value in self.average.items()}
        return float(loss.detach())

    def _average(self) -> None:
        """Moving average of the weights, quick to forget at the start."""
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.dtype.is_floating_point:
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self) -> None:
        """Writes the checkpoint atomically."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "average": self.average,
            "snapshots": self.snapshots,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint)
        (self.out / "recipe.json").write_text(json.dumps(asdict(self.recipe), indent=2) + "\n")

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = state["average"]
        self.snapshots = state["snapshots"]
        self.step = int(state["step"])

    def export(self) -> Path:
        """Writes the averaged weights, float16, and the alpha that proves them, as the service loads them."""
        store(SPEC, self._result(), self.out, dtype=torch.float16)
        return self.out / SPEC.weights.file

    def _result(self) -> dict[str, Tensor]:
        """The averaged weights, blended with the snapshots as the recipe has it."""
        result = {name: value.clone() for name, value in self.average.items()}
        last = 1 - sum(self.recipe.snapshots.values())
        for name, value in result.items():
            if value.dtype.is_floating_point:
                value.mul_(last)
                for step, share in self.recipe.snapshots.items():
                    value.add_(self.snapshots[step][name], alpha=share)
        return result


def schedule(recipe: Recipe, step: int) -> tuple[int, float]:
    """(input side in px, share of the peak learning rate) of a step: warm-up, plateau, linear decay."""
    rate = min(1.0, (step + 1) / recipe.warmup_steps)
    for phase in recipe.phases:
        if step < phase.steps:
            return phase.side, rate * (1 - step / phase.steps if phase.decay else 1.0)
        step -= phase.steps
    raise ValueError("the step lies after the last phase")
