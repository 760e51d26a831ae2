"""Latency and images/s of the networks alone: `python -m tests.bench.networks --help`.

Each network runs the straightforward way (PyTorch eager, float32, NCHW, deformable convolution by
grid_sample) and as the service runs it, turn by turn, with the same weights and pictures, so that whatever
else the machine does falls on all alike. Wall times from uint8 pictures on the host to alphas on the host.
Weights but `lite`'s are arbitrary ones: the time is the same. Exits with 1 where a bar is missed.
"""

import argparse
import gc
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from model.config import EngineConfig
from model.device import choose_device
from tests.bench import flops, plot
from tests.bench.contenders import ENCODERS, GROUPS, LARGE, Contender, contenders, specification, with_weights
from tests.bench.course import Course
from tests.bench.figures import Figures, Row, markdown, verdicts
from tests.bench.machine import describe
from tests.bench.report import conclude, progress, say

BATCHES = (1, 2, 4, 8, 16)
ON_CPU = {"lite": BATCHES, "basnet": (1, 4)}
"""Batches on CPUs, where they hardly pay: one picture for the networks that are not here."""


def main() -> None:
    """Measures, prints the table and the verdicts, and keeps the figures where it is told to."""
    arguments = _arguments()
    config = EngineConfig(device=arguments.device)
    device = choose_device(config.device)
    command = " ".join(["python -m tests.bench.networks", *sys.argv[1:]])
    figures = Figures(device.type, describe(device), command, {}, ())
    for group in _groups(arguments, device):
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(group, config.model_copy(update={"model_dir": Path(scratch)}), arguments)
        gc.collect()  # engines and what they hold of the device
        torch.cuda.empty_cache()
        peaks = {
            precision: flops.matmul_peak(device, precision, config.cores)
            for precision in {row.precision for row in found}
        }
        figures = figures.joined(found, peaks)
        if arguments.json:  # after every network: the next one may be too much for the machine
            figures.save(arguments.json)
    say(markdown(figures))
    if arguments.plot:
        plot.draw(figures, arguments.plot)
    conclude(verdicts(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [name for group in (*GROUPS, *LARGE, ENCODERS) for name in group]
    parser.add_argument("--models", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--all", action="store_true", help="every size and every encoder, on CPUs, too")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--batches", nargs="+", type=int, metavar="N", help="pictures in a batch")
    parser.add_argument("--rounds", type=int, default=9, help="turns that each way of running has")
    parser.add_argument("--seconds", type=float, default=50, help="fewer turns where they would take longer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the raw figures there")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw images/s and ms over the batch there, SVG"
    )
    return parser.parse_args()


def _groups(arguments: argparse.Namespace, device: torch.device) -> list[tuple[str, ...]]:
    """What is measured together."""
    groups = list(GROUPS)
    if arguments.models or arguments.all or device.type != "cpu":
        groups += LARGE
    if arguments.models or arguments.all:
        groups += [(name,) for name in ENCODERS]
    wanted = arguments.models or [name for group in groups for name in group]
    chosen = (tuple(name for name in group if name in wanted) for group in groups)
    return [group for group in chosen if group]


def measure(group: Sequence[str], config: EngineConfig, arguments: argparse.Namespace) -> list[Row]:
    """The rows of these networks, batch by batch. config.model_dir: a folder for their weights."""
    field: list[Contender] = []
    for name in group:
        progress(f"{name}: loading")
        field += contenders(with_weights(specification(name), config.model_dir), config)
    on_cpu = choose_device(config.device).type == "cpu"
    course = Course(arguments.rounds, arguments.seconds, on_cpu=on_cpu)
    rows: list[Row] = []
    for batch in arguments.batches or BATCHES:
        entrants = [
            contender
            for contender in field
            if arguments.batches or not on_cpu or batch in ON_CPU.get(contender.spec.name, (1,))
        ]
        rows += course.run(entrants, batch)
    order = [contender.spec.name for contender in field]
    return sorted(rows, key=lambda row: order.index(row.network))


if __name__ == "__main__":
    main()
