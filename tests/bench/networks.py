"""Latency of the networks alone, in one run: python -m tests.bench.networks [--rounds N] [--model-dir DIR].

Plain PyTorch (eager, float32, every core) beside what TorchEngine makes of the same network, turn by turn, so
that whatever else the machine does falls on all alike. Medians of wall time. A model without weights runs
with arbitrary ones: its time is the same.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from model import selftest, weights
from model.config import EngineConfig
from model.engine import TorchEngine
from model.errors import ModelUnavailable
from model.registry import REGISTRY, ModelSpec

BAR = 15
"""`lite` must be this many times as quick as `basnet`."""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model-dir", type=Path, default=Path("models"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        specs = [_loadable(REGISTRY[name], arguments.model_dir, Path(scratch)) for name in ("lite", "basnet")]
        engines = {spec.name: TorchEngine(spec, EngineConfig(model_dir=folder)) for spec, folder in specs}
        calls: dict[str, Callable[[], object]] = {}
        for spec, folder in specs:
            calls[f"{spec.name}, plain"] = _plain(spec, folder)
            calls[f"{spec.name}, engine"] = _engine(engines[spec.name])
        medians = _interleaved(calls, arguments.rounds)
        _report(medians, engines)


def _loadable(spec: ModelSpec, folder: Path, scratch: Path) -> tuple[ModelSpec, Path]:
    """The model and the directory of its weights, arbitrary ones in `scratch` where there are none."""
    try:
        weights.load(spec, folder)
    except ModelUnavailable:
        torch.manual_seed(0)
        spec = replace(spec, weights=replace(spec.weights, shipped=False, sha256=None, size=None))
        weights.store(spec, spec.build().state_dict(), scratch)
        return spec, scratch
    return spec, folder


def _plain(spec: ModelSpec, folder: Path) -> Callable[[], object]:
    net = weights.load(spec, folder).net
    x = torch.randn(1, 3, *spec.size)
    cores = EngineConfig().cores

    def call() -> object:
        torch.set_num_threads(cores)
        with torch.inference_mode():
            return net(x)

    return call


def _engine(engine: TorchEngine) -> Callable[[], object]:
    batch = selftest.picture(engine.spec.size)[None]
    return lambda: engine.predict(batch)


def _interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The median seconds of each call."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _throughput(engine: TorchEngine, pictures: int) -> float:
    """Pictures per second with every stream at work."""
    call = _engine(engine)
    with ThreadPoolExecutor(engine.streams) as pool:
        start = time.perf_counter()
        for _ in pool.map(lambda _: call(), range(pictures)):
            pass
        return pictures / (time.perf_counter() - start)


def _report(medians: dict[str, float], engines: dict[str, TorchEngine]) -> None:
    lines = [f"{'network':<18}{'ms':>10}   notes"]
    for name, seconds in medians.items():
        engine = engines[name.partition(",")[0]]
        note = "eager, float32"
        if name.endswith("engine"):
            rate = _throughput(engine, max(4, int(2 / seconds)))
            note = (
                f"{engine.device.type}, {engine.precision}, {rate:.1f} pictures/s on {engine.streams} streams"
            )
        lines.append(f"{name:<18}{1000 * seconds:>10.1f}   {note}")
    ratio = medians["basnet, engine"] / medians["lite, engine"]
    verdict = "met" if ratio >= BAR else "MISSED"
    lines.append(f"basnet : lite = {ratio:.1f} : 1 (at least {BAR} : 1: {verdict})")
    print("\n".join(lines))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
