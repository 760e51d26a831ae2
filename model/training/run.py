"""One training run: all its state, one step of it, its checkpoints and its result."""

import json
import os
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from model.device import half_precisions
from model.files import Pin
from model.registry import REGISTRY
from model.training.batches import Batch, Source, squeezed
from model.training.learner import Learner, finest, optimizer_of
from model.training.objectives import OBJECTIVES, ObjectiveName, class_loss
from model.training.pictures import Pixels
from model.training.recipe import Precision, Recipe
from model.training.start import encoder_prefixes, initialised
from model.training.team import Team
from model.training.validation import Judgement, judged
from model.weights import load_into, store

__all__ = ["ADVICE", "Run", "working_precision"]

_NEWER = {"left_out": (), "least_view": 0.55}
"""Of packs, what older checkpoints do not tell, and what they meant."""
ADVICE = "train in another precision, or more slowly"
_HALVES: dict[Precision, torch.dtype] = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Run:
    """What a checkpoint holds: network, moving average, its snapshots, optimiser, step, the best judgement.

    recipe: `scheduled`. Continues from out/checkpoint.pt when there is one. Raises PackError and
    ModelUnavailable where there is nothing to begin from, ValueError for a checkpoint of another recipe.
    """

    def __init__(self, recipe: Recipe, data: Path, out: Path, team: Team, model_dir: Path) -> None:
        torch.manual_seed(recipe.seed)
        out.mkdir(parents=True, exist_ok=True)
        self.recipe, self.out, self.team = recipe, out, team
        self.spec = REGISTRY[recipe.network]
        self.network = initialised(self.spec, recipe.start, data, model_dir)
        learner = Learner(self.network, self.spec, recipe.classes).to(team.device).train()
        self.learner = learner.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rates = recipe.encoder_learning_rate, recipe.learning_rate
        prefixes = encoder_prefixes(self.network)
        self.optimizer = optimizer_of(learner, prefixes, recipe.optimizer, rates, recipe.weight_decay)
        self.half = working_precision(recipe.precision, team.device)
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=self.half is torch.float16)
        self.average = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self.step = 0
        self._keep()
        self.best: Judgement | None = None
        self.shown: tuple[Tensor, Tensor, Tensor] | None = None
        """Some pictures of the last step, their mattes, and what the network made of them."""
        if self.checkpoint.exists():
            self._resume()
        self.team_learner: nn.Module = self.learner
        if team.size > 1:
            device_ids = [team.device.index] if team.device.type == "cuda" else None
            self.team_learner = DistributedDataParallel(self.learner, device_ids=device_ids)

    @property
    def checkpoint(self) -> Path:
        """Where the state lies between runs."""
        return self.out / "checkpoint.pt"

    def advance(self, source: Source) -> Tensor:
        """One optimiser step; its loss in this process, a scalar."""
        recipe = self.recipe
        phase, rate = recipe.at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.team.device)
        for part in range(recipe.accumulate):
            turn = (self.step * recipe.accumulate + part) * self.team.size + self.team.rank
            torch.manual_seed(recipe.seed * 1_000_003 + turn)  # of what the network itself drops at random
            batch = squeezed(source.batch(turn, phase.side), self.spec)
            last = part == recipe.accumulate - 1
            ddp = self.team_learner if isinstance(self.team_learner, DistributedDataParallel) else None
            with nullcontext() if last or ddp is None else ddp.no_sync():
                loss = self._loss(batch, phase.objective) / recipe.accumulate
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self.scaler.unscale_(self.optimizer)
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.learner.parameters(), recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.step += 1
        self._average()
        self._keep()
        return total

    def _loss(self, batch: Batch, objective: ObjectiveName) -> Tensor:
        with torch.autocast(
            self.team.device.type, self.half or torch.bfloat16, enabled=self.half is not None
        ):
            outputs, scores = self.team_learner(batch.pictures)
        self.shown = batch.pictures[:4], batch.mattes[:4], finest(outputs)[:4].detach().sigmoid()
        loss = OBJECTIVES[objective](outputs, batch.mattes)
        if scores is not None and batch.classes is not None:
            loss = loss + class_loss(scores, batch.classes)
        return loss

    def _average(self) -> None:
        """Moving average of the weights, quick to forget at the start."""
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        state = self.network.state_dict()
        floating = [name for name, value in state.items() if value.is_floating_point()]
        # All at once: a GPU would spend more on starting hundreds of small operations than on their work.
        torch._foreach_lerp_(
            [self.average[name] for name in floating], [state[name] for name in floating], 1 - decay
        )
        for name in state.keys() - floating:
            self.average[name].copy_(state[name])

    def validate(self, pictures: list[Pixels]) -> Judgement:
        """Judges the averaged weights, and keeps them as out/best.pt where none were better."""
        network = self.spec.build()
        load_into(network, self.average, self.spec.name)
        found = judged(network, self.spec, pictures, self.team.device, batch=self.recipe.batch)
        if self.best is None or found.iou > self.best.iou:
            self.best = found
            self._write(self.average, self.out / "best.pt")
        return found

    def save(self) -> None:
        """Writes the checkpoint atomically. Raises ValueError, and keeps the one before, for weights that are
        no numbers."""
        if not all(bool(value.isfinite().all()) for value in self.average.values()):
            raise ValueError(f"the weights are no numbers at step {self.step}: {ADVICE}")
        state = {
            "recipe": self._fingerprint(),
            "learner": self.learner.state_dict(),
            "average": self.average,
            "snapshots": self.snapshots,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "best": asdict(self.best) if self.best else None,
        }
        self._write(state, self.checkpoint)
        (self.out / "recipe.json").write_text(json.dumps(asdict(self.recipe), indent=2) + "\n")

    def _write(self, state: dict[str, Any], path: Path) -> None:
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _fingerprint(self) -> str:
        recipe = asdict(self.recipe)
        for name, meant in _NEWER.items():
            if recipe["data"].get(name) == meant:
                del recipe["data"][name]
        return json.dumps([recipe, self.team.size], sort_keys=True)

    def _resume(self) -> None:
        # Not to a GPU: there Adam's steps would stay, and each would be waited for at every step.
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        if state["recipe"] != self._fingerprint():
            raise ValueError(
                f"{self.checkpoint} is of another recipe, or of another number of "
                "steps or processes: choose another folder"
            )
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.average = self._here(state["average"])
        self.snapshots = {step: self._here(weights) for step, weights in state["snapshots"].items()}
        self.step = int(state["step"])
        self.best = Judgement(**state["best"]) if state["best"] else None

    def _here(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.team.device) for name, value in weights.items()}

    def export(self) -> Pin:
        """Writes the result into `out`, with the alpha that proves it, as the service loads it."""
        if self.best:
            result = torch.load(self.out / "best.pt", map_location="cpu", weights_only=True)
        else:
            result = self._blended()
        half = torch.float16 if self.recipe.half_weights else torch.float32
        cpu = {name: value.cpu() for name, value in result.items()}
        return store(self.spec, cpu, self.out, dtype=half)

    def _keep(self) -> None:
        """The averaged weights, at a step that the result has a share of."""
        if self.step in self.recipe.snapshots:
            self.snapshots[self.step] = {name: value.clone() for name, value in self.average.items()}

    def _blended(self) -> dict[str, Tensor]:
        """The averaged weights, blended with the snapshots as the recipe has it."""
        result = {name: value.clone() for name, value in self.average.items()}
        last = 1 - sum(self.recipe.snapshots.values())
        for name, value in result.items():
            if value.dtype.is_floating_point:
                value.mul_(last)
                for step, share in self.recipe.snapshots.items():
                    value.add_(self.snapshots[step][name], alpha=share)
        return result


def working_precision(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The half precision to compute in, None for float32. `auto` is bfloat16 where the device has it."""
    if precision == "auto":
        return torch.bfloat16 if torch.bfloat16 in half_precisions(device) else None
    return _HALVES.get(precision)
