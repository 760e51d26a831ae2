"""The whole service against the sum of its parts: `python -m tests.bench.service`.

Starts `objectcut serve`, posts one 1.2 MP JPEG over and over, and asks for PNG bytes. Beside it stand the
parts' own cost, measured in this process in the same run. Bars: at concurrency 8 at least 70 % of the
images/s that the parts' CPU cost allows on the cores there are, the load's own CPU taken off; alone at most
60 ms beyond the network's own time; and memory that twice the requests do not make grow.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import torch

from api.source.decode import decode
from api.source.limits import DecodeLimits
from model import heap, runtimes
from model.config import EngineConfig
from model.registry import REGISTRY
from tests.bench.host import Stopwatch, ours, photo
from tests.bench.report import Verdict, at_least, at_most, conclude, say, table

REQUESTS = 48
ROUNDS = 15
WARM_UP = 32
"""Requests before the first line: until then every thread meets its first pictures, and its heap grows."""
ALONE, BUSY, MOST = 1, 8, 16
CONCURRENCIES = (ALONE, 2, BUSY, MOST, MOST)
"""The last one twice: what memory does once everything has been in use."""

SHARE, EXTRA_MS, GROWTH = 0.70, 60.0, 1.10
HEIGHT, WIDTH = 960, 1280
START_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Parts:
    """What a picture costs without a service, ms: CPU of one thread, and the network's wall time alone."""

    network_cpu: float
    host_cpu: float
    network_wall: float

    @property
    def cpu(self) -> float:
        return self.network_cpu + self.host_cpu


@dataclass(frozen=True, slots=True)
class Load:
    """What the service did at one concurrency. own_cores: what making the load took of the machine."""

    concurrency: int
    seconds: float
    own_cores: float
    answers_ms: tuple[float, ...]
    memory_mb: float

    @property
    def rate(self) -> float:
        """Images per second."""
        return len(self.answers_ms) / self.seconds

    def share(self, parts: Parts, cores: int) -> float:
        """Of the images per second that the parts' cost allows."""
        return self.rate * parts.cpu / 1000 / (cores - self.own_cores)


def main() -> None:
    """Prints the table and the verdicts."""
    picture = photo(HEIGHT, WIDTH)
    parts = measure_parts(picture)
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as (server, origin):
        loads = asyncio.run(put_load(origin, server.pid, picture))
    say(
        f"CPU of the parts: network {parts.network_cpu:.1f} ms, the rest {parts.host_cpu:.1f} ms. "
        f"The network alone answers in {parts.network_wall:.1f} ms. {REQUESTS} requests a line.\n"
    )
    say(
        table(
            ("concurrency", "images/s", "of what the parts allow", "p50 ms", "p95 ms", "memory, MB"),
            [
                (
                    str(load.concurrency),
                    f"{load.rate:.1f}",
                    f"{load.share(parts, cores):.0%}",
                    f"{statistics.median(load.answers_ms):.1f}",
                    f"{sorted(load.answers_ms)[int(0.95 * REQUESTS)]:.1f}",
                    f"{load.memory_mb:.0f}",
                )
                for load in loads
            ],
        )
    )
    conclude(verdicts(loads, parts, cores))


def verdicts(loads: list[Load], parts: Parts, cores: int) -> list[Verdict]:
    """loads: one for each of CONCURRENCIES, in order."""
    alone, busy = (next(load for load in loads if load.concurrency == n) for n in (ALONE, BUSY))
    extra = statistics.median(alone.answers_ms) - parts.network_wall
    growth = loads[-1].memory_mb / loads[-2].memory_mb
    share = busy.share(parts, cores)
    return [
        at_least(f"concurrency {BUSY}, share of the images/s that the parts allow", share, SHARE),
        at_most(f"concurrency {ALONE}, ms beyond the network's own time", extra, EXTRA_MS, "{:.1f}"),
        at_most(f"memory after twice the requests at concurrency {MOST}, times", growth, GROWTH),
    ]


def measure_parts(picture: bytes) -> Parts:
    """Medians over pictures that go through all parts one after the other, as in the service."""
    heap.keep(64 << 20)  # twice the service's: here one thread also holds what is compared
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    engine = runtimes.load(REGISTRY["lite"], EngineConfig())  # as the service does
    small = engine.prepare(decode(picture, DecodeLimits()).rgb)
    matte = engine.predict([small])[0]
    network, host, walls = [], [], []
    for _ in range(ROUNDS):
        watch = Stopwatch(runs=1)
        ours(picture, matte, watch)
        host.append(sum(watch.parts.values()))
        start = time.perf_counter()
        watch.time("network", lambda: engine.run([small]))
        walls.append(1000 * (time.perf_counter() - start))
        network.append(watch.parts["network"])
    return Parts(*map(statistics.median, (network, host, walls)))


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The service, ready, and its origin."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "api.cli", "serve", "--port", str(port), "--anonymous"]
    environment = os.environ | {"OBJECTCUT_DRAIN_DELAY": "0"}
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data")], env=environment, stdout=out, stderr=out
        )
    try:
        origin = f"http://127.0.0.1:{port}"
        if not ready(server, origin):
            raise SystemExit(f"the service did not become ready:\n{log.read_text()[-2000:]}")
        yield server, origin
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def ready(server: subprocess.Popen[bytes], origin: str) -> bool:
    """Waits for it; False when it ends instead, or takes too long."""
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            if httpx.get(f"{origin}/readyz").status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    return False


async def put_load(origin: str, pid: int, picture: bytes) -> list[Load]:
    """One for each of CONCURRENCIES, after some requests to warm up."""
    headers = {"Accept": "image/png", "Content-Type": "image/jpeg"}
    loads = []
    async with httpx.AsyncClient(
        base_url=origin, timeout=60, limits=httpx.Limits(max_connections=2 * MOST)
    ) as client:

        async def answer() -> float:
            """ms that it takes."""
            start = time.perf_counter()
            response = await client.post("/v1/cutouts", content=picture, headers=headers)
            response.raise_for_status()
            return (time.perf_counter() - start) * 1000

        for _ in range(WARM_UP):
            await answer()
        for concurrency in CONCURRENCIES:
            places = asyncio.Semaphore(concurrency)

            async def placed(places: asyncio.Semaphore = places) -> float:
                async with places:
                    return await answer()

            wall, own = time.perf_counter(), time.process_time()
            answers = await asyncio.gather(*(placed() for _ in range(REQUESTS)))
            wall, own = time.perf_counter() - wall, time.process_time() - own
            loads.append(Load(concurrency, wall, own / wall, tuple(answers), memory_mb(pid)))
    return loads


def memory_mb(pid: int) -> float:
    """Memory of the process and its descendants, MB; a page that some of them share counts once in all."""
    pids, total = [pid], 0.0
    while pids:
        process = Path("/proc", str(pids.pop()))
        try:
            children = [task.read_text() for task in process.glob("task/*/children")]
            pids += map(int, " ".join(children).split())
            rollup = (process / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1e3
    return total


if __name__ == "__main__":
    main()
