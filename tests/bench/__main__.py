"""Every bench in turn, and its figures as docs/BENCHMARK.md: `make bench`."""

import subprocess
import sys
from pathlib import Path

import torch

from model.device import choose_device
from tests.bench import plot
from tests.bench.figures import Figures, markdown, verdicts
from tests.bench.machine import describe
from tests.bench.report import MISSED, progress, say

DOCS = Path("docs")
NETWORKS = "tests.bench.networks"
BENCHES = {
    "tests.bench.host": "What a photo costs besides the network",
    "tests.bench.edges": "How much the refinement along edges brings",
    NETWORKS: "The networks",
    "tests.bench.service": "The whole service",
    "tests.bench.training": "What the training loop keeps of a network's own speed",
}
HEAD = """# Benchmark

Made by `make bench`, which runs each command below and writes this page. Compare figures of one run with each
other, not with those of another machine; a bench that misses its bar says so and `make bench` fails.

Machine: {machine}.
"""
ABOUT_NETWORKS = """\
`eager` is the network as one first writes it (PyTorch, float32, NCHW, deformable convolution by
`grid_sample`), `ours` what the service runs with torch, `openvino` what it runs on a CPU by default, turn
by turn and with the same weights: those of `lite` are its own, all others arbitrary, which changes no
time. Medians of wall times, from uint8 pictures on the host to alphas on the host; a batch of `2 x 1` is
two calls at once. Operations are counted in the eager form, two for a multiplication with its addition,
and set against a large matrix product of the same precision in the same run: kernels that save operations
can pass 100 %. `apart` is the mean absolute difference of the alphas from eager's, over up to four
photographs in a batch. On a CPU this is a selection: `--all` adds every size and every encoder, `--batches`
other batches.
"""
NO_GPU = f"""### On a GPU

None was at hand. On a machine with one, `make bench` adds its table here, or, without the other benches:
`python -m {NETWORKS} --device cuda --json docs/benchmark/networks-cuda.json`
"""


def main() -> int:
    """Runs them all, also when one fails. Returns how many failed."""
    device = choose_device("auto")
    figures = _figures(DOCS, device.type)
    failed = 0
    sections = [HEAD.format(machine=describe(torch.device("cpu")))]
    for module, title in BENCHES.items():
        progress(f"== {title}")
        command = ["-m", module, *(("--json", str(figures)) if module == NETWORKS else ())]
        done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=False)
        say(done.stdout)
        failed += done.returncode != 0
        plain = f"`python {' '.join(command)}`\n\n{done.stdout.strip()}\n"
        text = networks(DOCS) if module == NETWORKS else plain
        if done.returncode and MISSED not in done.stdout:
            text = f"**Broke off in this run.**\n\n{text}"
        sections.append(f"## {title}\n\n{text}")
    (DOCS / "BENCHMARK.md").write_text("\n".join(sections))
    return failed


def networks(docs: Path) -> str:
    """Table, verdicts and plot of each kind of device that figures are kept of: this run's, and older."""
    kept = [file for kind in ("cpu", "cuda", "mps") if (file := _figures(docs, kind)).exists()]
    sections = [ABOUT_NETWORKS, *(_section(docs, file) for file in kept)]
    if _figures(docs, "cuda") not in kept:
        sections.append(NO_GPU)
    return "\n".join(sections)


def _section(docs: Path, file: Path) -> str:
    figures = Figures.read(file)
    picture = docs / "images" / f"{file.stem}.svg"
    plot.draw(figures, picture)
    bars = "\n".join(map(str, verdicts(figures)))
    return (
        f"### On {'a CPU' if figures.device == 'cpu' else 'a GPU'}\n\n`{figures.command}`\n\n"
        f"![Images per second, and ms a call, over the size of the batch](images/{picture.name})\n\n"
        f"{markdown(figures)} "
        f"Every call's time: [{file.name}](benchmark/{file.name}).\n\n{bars}\n"
    )


def _figures(docs: Path, kind: str) -> Path:
    """Where the figures of that kind of device are kept."""
    return docs / "benchmark" / f"networks-{kind}.json"


if __name__ == "__main__":
    sys.exit(main())
