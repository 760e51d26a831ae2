"""The supervisor: dead workers come back, and none outlives the service."""

import asyncio
import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.fleet.processes import WorkerProcesses
from api.fleet.settings import WorkerTracingConfig
from api.logs import LogConfig
from api.tracing import TracingConfig
from model.config import EngineConfig
from tests.api.fleet.workers import until

NOTES = """
import json, os, sys
path = os.environ["OBJECTCUT_SOCKET"]
ours = {name: value for name, value in os.environ.items() if "OBJECTCUT" in name}
json.dump(ours, open(path + ".json", "w"))
sys.stdin.buffer.read()
"""


def processes(count: int, script: str = NOTES, **engine: object) -> WorkerProcesses:
    command = (sys.executable, "-c", script)
    return WorkerProcesses(
        count,
        EngineConfig.model_validate({"cores": 4} | engine),
        LogConfig(),
        tracing=TracingConfig(endpoint="http://collector:4318/v1/traces"),
        command=command,
        stop_seconds=5,
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_dead_one_is_started_again() -> None:
    own = processes(2)
    await own.start()
    await until(lambda: len(own.pids) == 2)
    first, second = own.pids
    os.kill(first, signal.SIGKILL)
    await until(lambda: own.starts == [2, 1] and len(own.pids) == 2)
    assert second in own.pids
    last = own.pids
    await own.close()
    assert not any(map(alive, last))
    assert not Path(own.urls[0].removeprefix("unix:")).parent.exists()


async def test_one_that_cannot_start_is_not_started_in_a_hurry() -> None:
    own = processes(1, "raise SystemExit(3)")
    await own.start()
    await until(lambda: own.starts == [2])
    await asyncio.sleep(0.4)
    assert own.starts == [2]
    await own.close()


async def test_a_start_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError(errno.EAGAIN, "no process is left")]
    start = asyncio.create_subprocess_exec

    async def failing(*command: str, **given: Any) -> asyncio.subprocess.Process:
        if failures:
            raise failures.pop()
        return await start(*command, **given)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", failing)
    own = processes(1)
    await own.start()
    await until(lambda: own.starts == [1] and len(own.pids) == 1)
    await own.close()


@pytest.mark.parametrize(
    ("device", "devices"),
    [
        pytest.param("cuda", ["cuda:0", "cuda:1"], id="a GPU each"),
        pytest.param("cpu", ["cpu", "cpu"], id="one CPU"),
    ],
)
async def test_each_has_its_share_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, device: str, devices: list[str]
) -> None:
    monkeypatch.setenv("OBJECTCUT_SECRET_ACCESS", "the-services-own")
    own = processes(2, device=device)
    await own.start()
    notes = [Path(url.removeprefix("unix:") + ".json") for url in own.urls]
    await until(lambda: all(note.exists() and note.read_text().endswith("}") for note in notes))
    found = [json.loads(note.read_text()) for note in notes]
    assert [json.loads(each["OBJECTCUT_ENGINE"])["device"] for each in found] == devices
    assert {json.loads(each["OBJECTCUT_ENGINE"])["cores"] for each in found} == {2}
    assert all("OBJECTCUT_SECRET_ACCESS" not in each for each in found)
    assert {each["OBJECTCUT_WORKER_TOKEN"] for each in found} == {own.token}
    traces = [WorkerTracingConfig.model_validate_json(each["OBJECTCUT_TRACING"]) for each in found]
    assert {each.endpoint for each in traces} == {"http://collector:4318/v1/traces"}
    assert {each.service_name for each in traces} == {"objectcut-worker"}
    await own.close()


def test_the_service_outlives_its_worker_and_the_worker_not_the_service(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """The real command, the real network: kill the worker, wait for it to be back; kill the service."""
    asyncio.run(_through_two_deaths(tmp_path, unused_tcp_port))


async def _through_two_deaths(directory: Path, port: int) -> None:
    service = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "serve", "--anonymous", "--workers", "1"),
        *("--port", str(port), "--data-dir", str(directory)),
        env=os.environ | {"OMP_NUM_THREADS": "1", "OBJECTCUT_CPU_JOBS": "1"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as http:

        async def wait_for(status: int) -> None:
            async with asyncio.timeout(100):
                while True:
                    try:
                        if (await http.get("/readyz")).status_code == status:
                            return
                    except httpx.TransportError:
                        pass
                    await asyncio.sleep(0.05)

        try:
            await wait_for(200)
            worker = _worker_of(service.pid)
            os.kill(worker, signal.SIGKILL)
            await wait_for(503)
            assert (await http.get("/healthz")).status_code == 200
            await wait_for(200)
            worker = _worker_of(service.pid)
        finally:
            service.kill()
            await service.wait()
        await until(lambda: not alive(worker))


def _worker_of(service: int) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == service and b"--supervised" in (process / "cmdline").read_bytes():
                return int(process.name)
        except (FileNotFoundError, ProcessLookupError):
            pass
    raise AssertionError("there is no worker")
