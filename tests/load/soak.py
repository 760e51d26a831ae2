"""Two thousand requests of every kind, and then as before: `make soak`.

Good ones in every format, bad ones, ones that leave early. What a service leaks, it leaks in one of these.
Bars, between the first quarter and the end: memory within 5 %, file descriptors and threads within 2, of the
service and all its processes; no 5xx; every answer has the status that its request deserves.
"""

import argparse
import asyncio
import base64
import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.report import Verdict, at_most, conclude, progress, say, table
from tests.bench.service import started
from tests.load.pictures import mixture

MEMORY, COUNTS = 0.05, 2
CLIENTS = 4
LEAVES = 0
"""Stands for the status of a request whose client has gone."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A request, and the status that it deserves. seconds: after which its client leaves."""

    name: str
    status: int
    request: dict[str, Any]
    path: str = "/v1/cutouts"
    method: str = "POST"
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What the service holds. memory: MB; of pages that come from files none.

    What libraries' code counts for depends on how many others on the machine have it in use, too.
    """

    memory: float
    descriptors: int
    threads: int


def main() -> None:
    """Prints the table and the verdicts."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=2000, help="at most 100000")
    count = min(options.parse_args().requests, 100_000)
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as (server, origin):
        states, wrong = asyncio.run(soak(origin, server.pid, count))
    say(
        table(
            ("requests", "memory, MB", "file descriptors", "threads"),
            [(str(done), f"{s.memory:.0f}", str(s.descriptors), str(s.threads)) for done, s in states],
        )
    )
    for line in wrong[:10]:
        say(f"  {line}")
    conclude(verdicts([state for _, state in states], wrong))


async def soak(origin: str, pid: int, count: int) -> tuple[list[tuple[int, State]], list[str]]:
    """The state after each quarter, at rest; and what was answered otherwise than it should."""
    every, wrong, states = kinds(), [], []
    async with httpx.AsyncClient(base_url=origin, timeout=60) as client:
        turns = itertools.cycle(every)
        for quarter in range(4):
            places = asyncio.Semaphore(CLIENTS)

            async def ask(kind: Kind, places: asyncio.Semaphore = places) -> None:
                async with places:
                    if (status := await answered(client, kind)) != kind.status:
                        wrong.append(f"{kind.name}: {status} instead of {kind.status}")

            await asyncio.gather(*(ask(next(turns)) for _ in range(count // 4)))
            await at_rest(client)
            states.append((count // 4 * (quarter + 1), state_of(pid)))
            progress(f"{states[-1]}")
    return states, wrong


async def answered(client: httpx.AsyncClient, kind: Kind) -> int:
    """The status; LEAVES when the client did not wait for it."""
    sending = client.request(kind.method, kind.path, **kind.request)
    if kind.seconds is None:
        return (await sending).status_code
    try:
        async with asyncio.timeout(kind.seconds):
            await sending
    except TimeoutError:
        return LEAVES
    return LEAVES  # it was quicker than its client's patience


async def at_rest(client: httpx.AsyncClient) -> None:
    """Waits until nothing is worked on, and idle connections have closed."""
    while "objectcut_in_flight 0.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110
        await asyncio.sleep(0.2)
    await asyncio.sleep(6)  # uvicorn keeps an idle connection for five


def kinds() -> list[Kind]:
    """Every kind of request, good ones most often."""
    photos = mixture()
    sent = [{"content": photo.data, "headers": {"Content-Type": photo.media_type}} for photo in photos]
    asked = ("image/png", "image/webp", "image/jpeg", "application/json", "application/zip")
    good = [
        Kind(f"{accept} of photo {index}", 201 if "json" in accept else 200, _accepting(request, accept))
        for index, (request, accept) in enumerate(zip(sent, itertools.cycle(asked), strict=False))
    ]
    data = photos[0].data
    encoded = json.dumps({"image_base64": base64.b64encode(data).decode(), "crop": True})
    return [
        *good,
        Kind("base64", 201, {"content": encoded, "headers": {"Content-Type": "application/json"}}),
        Kind("form", 201, {"files": {"image": ("a.jpg", data)}, "data": {"output": "alpha"}}),
        Kind("remove.bg", 200, {"files": {"image_file": ("a.jpg", data)}}, "/v1.0/removebg"),
        Kind("rembg", 200, {"files": {"file": ("a.jpg", data)}}, "/api/remove"),
        Kind(
            "truncated", 422, {"content": data[: len(data) // 2], "headers": {"Content-Type": "image/jpeg"}}
        ),
        Kind("no image", 415, {"content": b"no image", "headers": {"Content-Type": "image/jpeg"}}),
        Kind("bad option", 400, {"files": {"image": ("a.jpg", data)}, "data": {"quality": "0"}}),
        Kind("private address", 422, {"data": {"image_url": "http://127.0.0.1/a.jpg"}}),
        Kind("no such cutout", 404, {}, f"/v1/cutouts/{'0' * 32}.png", "DELETE"),
        Kind("leaves early", LEAVES, sent[0], seconds=0.02),
        Kind("leaves later", LEAVES, sent[1], seconds=0.08),
    ]


def _accepting(request: dict[str, Any], media_type: str) -> dict[str, Any]:
    return {**request, "headers": {**request["headers"], "Accept": media_type}}


def state_of(pid: int) -> State:
    """Of the process and its descendants."""
    pids, memory, descriptors, threads = [pid], 0.0, 0, 0
    while pids:
        process = Path("/proc", str(pids.pop()))
        tasks = list(process.glob("task/*"))
        pids += [int(child) for task in tasks for child in (task / "children").read_text().split()]
        threads += len(tasks)
        descriptors += len(list((process / "fd").iterdir()))
        rollup = (line.split() for line in (process / "smaps_rollup").read_text().splitlines())
        memory += sum(int(each[1]) / 1e3 for each in rollup if each[0] in ("Pss_Anon:", "Pss_Shmem:"))
    return State(memory, descriptors, threads)


def verdicts(states: Sequence[State], wrong: Sequence[str]) -> list[Verdict]:
    """states: the first is what the last is compared with."""
    first, last = states[0], states[-1]
    return [
        at_most("memory, share by which it moved", abs(last.memory / first.memory - 1), MEMORY, "{:.3f}"),
        at_most("file descriptors, change", abs(last.descriptors - first.descriptors), COUNTS, "{:.0f}"),
        at_most("threads, change", abs(last.threads - first.threads), COUNTS, "{:.0f}"),
        at_most("answers other than deserved", len(wrong), 0, "{:.0f}"),
    ]


if __name__ == "__main__":
    main()
