"""How much of a network's bare training speed the loop keeps: `python -m tests.bench.training --help`.

The bare course is the network's forward pass, its recipe's loss and the backward pass, over and over on one
batch that lies on the device. The loop's is that with all the rest: batches of pictures that memory has room
for, augmentation, gradient clipping, optimiser and moving average; and once more without the room, each
picture read and decoded anew. Turn by turn, so that whatever else the machine does falls on all alike. CPU
seconds on a CPU, the readers' threads included; wall time on a GPU.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from model.device import choose_device
from model.training import folders
from model.training.batches import Source
from model.training.loop import open_source
from model.training.objectives import OBJECTIVES
from model.training.recipe import Folders, Phase, Recipe
from model.training.recipes import RECIPES
from model.training.run import Run
from model.training.team import Team
from tests.bench.machine import describe
from tests.bench.report import Verdict, at_least, conclude, progress, say, table
from tests.model.training.conftest import drawn_folder

BAR = 0.85
"""Of the bare speed, that the loop must reach."""
PICTURES, SOURCE_SIDE = 24, 1200
ON_CPU = {"finetune": (320, 4), "basnet": (160, 2)}
ON_GPU = {"finetune": (320, 64), "basnet": (288, 16), "birefnet-dis": (1024, 4)}
"""Recipe -> side, px, and batch."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Pictures per second: bare, in the loop, and there with pictures that are read anew."""

    name: str
    side: int
    batch: int
    precision: str
    bare: float
    loop: float
    anew: float

    @property
    def share(self) -> float:
        """Of the bare speed."""
        return self.loop / self.bare


def main() -> None:
    """Measures, prints the table and the verdicts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipes", nargs="+", choices=sorted(ON_GPU), metavar="NAME")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--rounds", type=int, default=5, help="steps of each course")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    known = ON_CPU if device.type == "cpu" else ON_GPU
    rows = []
    for name in arguments.recipes or known:
        progress(f"training {name}")
        rows.append(measure(name, *(known.get(name) or ON_GPU[name]), device, arguments.rounds))
    say(f"{describe(device)}\n")
    say(markdown(rows))
    conclude(verdicts(rows))


def measure(name: str, side: int, batch: int, device: torch.device, rounds: int) -> Kept:
    """One recipe, from random weights, on drawn photographs of 1.4 MP."""
    with tempfile.TemporaryDirectory() as scratch:
        data = drawn_folder(Path(scratch) / "data", PICTURES, SOURCE_SIDE)
        recipe = _small(RECIPES[name], side, batch)
        with (
            closing(open_source(recipe, data, Team(device))) as source,
            closing(_roomless(recipe, data, device)) as files,
        ):
            run = Run(recipe, data, Path(scratch) / "out", Team(device), Path(scratch))
            held = source.batch(0, side)

            def bare() -> None:
                run.optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device.type, run.half or torch.bfloat16, enabled=run.half is not None):
                    outputs, _ = run.learner(held.pictures)
                OBJECTIVES[recipe.phases[0].objective](outputs, held.mattes).backward()  # type: ignore[no-untyped-call]

            courses: list[tuple[Callable[[], object], list[float]]] = [
                (bare, []),
                (lambda: run.advance(source), []),
                (lambda: run.advance(files), []),
            ]
            for _ in range(rounds + 1):
                for course, seconds in courses:
                    seconds.append(timed(course, device))
            # The first turn fills caches.
            speeds = [batch / statistics.median(seconds[1:]) for _, seconds in courses]
    precision = str(run.half or torch.float32).removeprefix("torch.")
    return Kept(name, side, batch, precision, *speeds)


def _roomless(recipe: Recipe, data: Path, device: torch.device) -> Source:
    """As with far more pictures than memory."""
    room, folders.KEPT_BYTES = folders.KEPT_BYTES, 0
    try:
        return open_source(recipe, data, Team(device))
    finally:
        folders.KEPT_BYTES = room


def _small(recipe: Recipe, side: int, batch: int) -> Recipe:
    assert isinstance(recipe.data, Folders)
    load_side = max(side, round(side * recipe.data.load_side / recipe.phases[0].side))
    data = replace(recipe.data, train=("./train",), validation=(), load_side=load_side)
    phases = (Phase(side=side, steps=1000),)
    return replace(recipe, data=data, start="random", batch=batch, phases=phases, classes=0)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds: of CPU on a CPU, of the clock elsewhere, when all is done that was begun."""
    if device.type == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def markdown(rows: list[Kept]) -> str:
    """A line for each network."""
    head = (
        "recipe",
        "px",
        "batch",
        "precision",
        "bare, pictures/s",
        "loop, pictures/s",
        "kept",
        "kept, read anew",
    )
    cells = [
        (
            r.name,
            str(r.side),
            str(r.batch),
            r.precision,
            f"{r.bare:.2f}",
            f"{r.loop:.2f}",
            f"{r.share:.0%}",
            f"{r.anew / r.bare:.0%}",
        )
        for r in rows
    ]
    return table(head, cells)


def verdicts(rows: list[Kept]) -> list[Verdict]:
    """Whether the loop keeps what it must."""
    return [at_least(f"{row.name}: the loop's share of the bare speed", row.share, BAR) for row in rows]


if __name__ == "__main__":
    main()
