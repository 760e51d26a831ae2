"""The networks' figures as they are kept in docs/benchmark, and what follows from them."""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tests.bench.report import Verdict, at_least, at_most, table

EAGER = "eager"
"""The way of running that all others are compared with."""

OURS = "ours"
"""What the service does by default with torch."""

OPENVINO = "openvino"
"""What it does by default on a CPU where OpenVINO is installed."""

APART = 0.01
QUICKER_ON_CPU = {"basnet": 2.0, "birefnet-lite": 1.8}
LITE_SHARE = 15
BASNET_ON_GPU = 1000.0
SWIN_L_ON_GPU_MS, SWIN_L_AIM_MS = 10.0, 6.0


@dataclass(frozen=True, slots=True)
class Row:
    """One network, run one way.

    size: (height, width) in px. way: EAGER, OURS or another. batch: pictures in a call. at_once: such calls
    at the same time. flops: operations per picture, two for a multiplication with its addition. seconds: wall
    time of each timed call. apart: mean absolute difference of its alphas from EAGER's for the same pictures,
    None where EAGER had no memory for one.
    """

    network: str
    size: tuple[int, int]
    way: str
    precision: str
    batch: int
    at_once: int
    flops: int
    seconds: tuple[float, ...]
    apart: float | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def rate(self) -> float:
        """Pictures per second."""
        return self.batch * self.at_once / self.median


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. device: "cpu" or "cuda". peaks: of each precision, operations/s of a large matrix product."""

    device: str
    machine: str
    command: str
    peaks: Mapping[str, float]
    rows: tuple[Row, ...]

    def joined(self, rows: Iterable[Row], peaks: Mapping[str, float]) -> "Figures":
        """With these rows, too; a peak is the highest that was measured."""
        highest = {
            precision: max(known.get(precision, 0.0) for known in (self.peaks, peaks))
            for precision in {*self.peaks, *peaks}
        }
        return replace(self, peaks=highest, rows=(*self.rows, *rows))

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Figures":
        """What `save` wrote."""
        stored = json.loads(path.read_bytes())
        rows = (
            Row(**row | {"size": tuple(row["size"]), "seconds": tuple(row["seconds"])})
            for row in stored.pop("rows")
        )
        return cls(**stored, rows=tuple(rows))

    def find(self, network: str, way: str, batch: int, at_once: int = 1) -> Row | None:
        wanted = (network, way, batch, at_once)
        rows = (row for row in self.rows if (row.network, row.way, row.batch, row.at_once) == wanted)
        return next(rows, None)

    def best(self, network: str) -> Row | None:
        """The row of the network that gives the most pictures per second, EAGER left out."""
        rows = (row for row in self.rows if row.network == network and row.way != EAGER)
        return max(rows, key=lambda row: row.rate, default=None)

    def times_eager(self, row: Row) -> float | None:
        """Pictures per second of the row to EAGER's with batches of the same size."""
        eager = self.find(row.network, EAGER, row.batch)
        return row.rate / eager.rate if eager else None

    def share_of_peak(self, row: Row) -> float:
        """Of the matrix product's operations per second in the same precision."""
        return row.flops * row.rate / self.peaks[row.precision]


def markdown(figures: Figures) -> str:
    """The table, and under it what it is measured against."""
    head = (
        "network",
        "px",
        "run",
        "precision",
        "batch",
        "ms",
        "images/s",
        "x eager",
        "TFLOP/s",
        "of peak",
        "apart",
    )
    peaks = ", ".join(f"{precision} {peak / 1e12:.3g}" for precision, peak in sorted(figures.peaks.items()))
    return (
        f"{table(head, (_cells(figures, row) for row in figures.rows))}\n\n"
        f"Measured matmul peak, TFLOP/s: {peaks}. Machine: {figures.machine}."
    )


def _cells(figures: Figures, row: Row) -> tuple[str, ...]:
    times = figures.times_eager(row)
    return (
        row.network,
        f"{row.size[1]}x{row.size[0]}",
        row.way,
        row.precision,
        str(row.batch) if row.at_once == 1 else f"{row.at_once} x {row.batch}",
        f"{1000 * row.median:.1f}",
        f"{row.rate:.3g}" if row.rate < 100 else f"{row.rate:.0f}",
        f"{times:.2f}" if times else "",
        f"{row.flops * row.rate / 1e12:.3g}",
        f"{figures.share_of_peak(row):.0%}",
        "" if row.apart is None or row.way == EAGER else f"{row.apart:.5f}",
    )


def verdicts(figures: Figures) -> list[Verdict]:
    """The bars of the networks that were run on this kind of device; alphas: of their largest batches."""
    found = list(_on_cpu(figures) if figures.device == "cpu" else _on_gpu(figures))
    largest = {row.network: row.batch for row in sorted(figures.rows, key=lambda row: row.batch)}
    apart = [
        row.apart
        for row in figures.rows
        if row.way != EAGER and row.apart is not None and row.batch == largest[row.network]
    ]
    if apart:
        what = "mean absolute difference of alpha from eager, of the network and run where it is largest"
        found.append(at_most(what, max(apart), APART, "{:.4f}"))
    return found


def _on_cpu(figures: Figures) -> Iterator[Verdict]:
    for network, bar in QUICKER_ON_CPU.items():
        row = figures.find(network, OURS, 1)
        times = row and figures.times_eager(row)
        if times:
            yield at_least(f"{network}, one picture, times as quick as eager", times, bar)
    for way in (OURS, OPENVINO):
        lite, basnet = figures.find("lite", way, 1), figures.find("basnet", way, 1)
        if lite and basnet:
            times = basnet.median / lite.median
            yield at_least(f"basnet's latency in lite's, {way}", times, LITE_SHARE, "{:.1f}")


def _on_gpu(figures: Figures) -> Iterator[Verdict]:
    if basnet := figures.best("basnet"):
        what = f"basnet, images/s at its best batch, {basnet.batch}"
        yield at_least(what, basnet.rate, BASNET_ON_GPU, "{:.0f}")
    if swin_l := figures.best("birefnet-general"):
        aim = f"{SWIN_L_AIM_MS:.0f} being the aim"
        what = f"birefnet-general, ms an image at its best batch, {swin_l.batch}, {aim}"
        yield at_most(what, 1000 / swin_l.rate, SWIN_L_ON_GPU_MS, "{:.1f}")
