"""The same network served by rembg and by us: `make compare`.

`lite` is exported to ONNX and run by rembg's own server in its session `u2net_custom`; both servers get the
same photos by the same route, `POST /api/remove`, turn by turn. Bars: at every concurrency three times its
images per second, and in the end at most a third of its memory.
"""

import asyncio
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import torch
from torch import Tensor, nn

from model import weights
from model.registry import REGISTRY
from tests.bench.report import Verdict, at_least, at_most, conclude, progress, say, table
from tests.bench.service import memory_mb, started
from tests.load.pictures import mixture
from tests.load.sender import Sender

REMBG = Path(".peers/bin/rembg")
CONCURRENCIES = (1, 4, 16)
SECONDS, WARM_UP = 15.0, 12
FASTER, SMALLER = 3.0, 1 / 3
START_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did. rate: images per second. p50: ms. memory: MB, afterwards."""

    rate: float
    p50: float
    memory: float


class Alpha(nn.Module):
    """What rembg expects of a network: maps in [0, 1]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, 3, h, w) normalised -> (B, 1, h, w)."""
        return torch.sigmoid(self.net(rgb))


def main() -> None:
    """Prints the table and the verdicts."""
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder, "lite.onnx")
        export(onnx)
        with started(Path(folder)) as (ours, origin), theirs(Path(folder)) as (peer, port):
            own = Sender(int(origin.rpartition(":")[2]), mixture(), path="/api/remove", field="file")
            extras = quote(json.dumps({"model_path": str(onnx)}))
            path, more = f"/api/remove?extras={extras}", {"model": "u2net_custom"}
            other = Sender(port, mixture(), path=path, field="file", more=more)
            loads = asyncio.run(compare(own, ours.pid, other, peer.pid))
    say(
        table(
            ("concurrency", "server", "images/s", "p50 ms", "memory, MB"),
            [
                (str(concurrency), name, f"{load.rate:.2f}", f"{load.p50:.0f}", f"{load.memory:.0f}")
                for concurrency, pair in zip(CONCURRENCIES, loads, strict=True)
                for name, load in zip(("objectcut", "rembg"), pair, strict=True)
            ],
        )
    )
    conclude(verdicts(loads))


def verdicts(loads: Sequence[tuple[Load, Load]]) -> list[Verdict]:
    """loads: ours and rembg's at each of CONCURRENCIES."""
    rates = [
        at_least(f"concurrency {concurrency}, images/s in rembg's", own.rate / other.rate, FASTER)
        for concurrency, (own, other) in zip(CONCURRENCIES, loads, strict=True)
    ]
    own, other = loads[-1]
    return [*rates, at_most("memory in the end, in rembg's", own.memory / other.memory, SMALLER)]


def export(path: Path) -> None:
    """Writes `lite` as ONNX, (1, 3, 320, 320) -> (1, 1, 320, 320)."""
    spec = REGISTRY["lite"]
    net = Alpha(weights.load(spec, path.parent).net.float()).eval()
    example = torch.zeros(1, 3, *spec.size)
    warnings.simplefilter("ignore")  # rembg's runtime takes the older exporter's files, too
    torch.onnx.export(net, (example,), str(path), dynamo=False, input_names=["rgb"], output_names=["alpha"])


async def compare(own: Sender, own_pid: int, other: Sender, other_pid: int) -> list[tuple[Load, Load]]:
    """Ours and rembg's at each of CONCURRENCIES."""
    for sender in (own, other):
        for _ in range(WARM_UP):
            if not (answer := await sender.send()).good:
                raise SystemExit(f"a server answered {answer.status}")
    loads = []
    for concurrency in CONCURRENCIES:
        pair = await load(own, own_pid, concurrency), await load(other, other_pid, concurrency)
        progress(f"concurrency {concurrency}: {pair}")
        loads.append(pair)
    return loads


async def load(sender: Sender, pid: int, concurrency: int) -> Load:
    """One server, for a while. Raises SystemExit when it does not serve."""
    began = time.monotonic()
    answers = await sender.closed_loop(concurrency, SECONDS)
    seconds = time.monotonic() - began
    if not all(answer.good for answer in answers):
        raise SystemExit(f"not every answer was good: {sorted({answer.status for answer in answers})}")
    p50 = 1000 * statistics.median(answer.seconds for answer in answers)
    return Load(len(answers) / seconds, p50, memory_mb(pid))


@contextmanager
def theirs(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """rembg's server, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(REMBG), "s", "--no-ui", "--host", "127.0.0.1", "--port", str(port), "--log_level", "error"]
    log = folder / "rembg.log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=out, env=os.environ | {"U2NET_HOME": str(folder)}
        )
    try:
        end = time.monotonic() + START_SECONDS
        while server.poll() is None and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.5)
        else:
            raise SystemExit(f"rembg did not start:\n{log.read_text()[-2000:]}")
        yield server, port
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
