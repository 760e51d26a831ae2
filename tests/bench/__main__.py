"""Every bench in turn, and its figures as docs/BENCHMARK.md: `make bench`."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

DOCUMENT = Path(__file__).parents[2] / "docs" / "BENCHMARK.md"
BENCHES = {
    "tests.bench.host": "What a photo costs besides the network",
    "tests.bench.edges": "How much the refinement along edges brings",
    "tests.bench.networks": "The networks",
    "tests.bench.service": "The whole service",
}
HEAD = """# Benchmark

Made by `make bench`, which runs each command below and writes this page. Compare figures of one run with each
other, not with those of another machine; a bench that misses its bar says so and `make bench` fails.

Machine: {machine}. torch {torch}, Python {python}.
"""


def main() -> int:
    """Runs them all, also when one fails. Returns how many failed."""
    machine = f"{processor()}, {len(os.sched_getaffinity(0))} cores, no GPU in use"
    sections = [HEAD.format(machine=machine, torch=torch.__version__, python=platform.python_version())]
    failed = 0
    for module, title in BENCHES.items():
        print(f"== {title}", flush=True)  # noqa: T201
        done = subprocess.run([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, flush=True)  # noqa: T201
        failed += done.returncode != 0
        verdict = "" if done.returncode == 0 else "\n**A bar was missed in this run.**\n"
        figures = done.stdout.strip("\n")
        sections.append(f"## {title}\n\n`python -m {module}`\n{verdict}\n```\n{figures}\n```\n")
    DOCUMENT.write_text("\n".join(sections))
    return failed


def processor() -> str:
    """Its model name, where the system tells."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
