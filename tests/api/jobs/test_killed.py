"""SIGKILL in the middle of jobs, several times: whatever was accepted ends exactly once."""

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api.jobs.receiver import Receiver, receiving
from tests.fakes import photo

ROOT = Path(__file__).parents[3]
SMALL = [sys.executable, "-m", "tests.api.small_server"]
WHOLE = [sys.executable, "-c", "from api.cli import main; main()", "serve", "--anonymous"]
AT_ONCE = 2
"""Deliveries of one caller on their way at once."""
SECONDS = 300.0


class Service:
    """The service's process, which may be killed and started again in the same directory."""

    def __init__(self, command: list[str], directory: Path, port: int, webhook_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        arguments = [str(port), str(directory)]
        if command is WHOLE:
            arguments = ["--port", str(port), "--data-dir", str(directory)]
        self._command = [*command, *arguments]
        self._environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "OBJECTCUT_FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "OBJECTCUT_FETCH__PORTS": f"[{webhook_port}]",
            "OBJECTCUT_JOBS__PER_CALLER": "1000",
            "OBJECTCUT_JOBS__ATTEMPTS": "20",
            "OBJECTCUT_JOBS__WEBHOOKS__FIRST_DELAY": "0.2",
            "OBJECTCUT_LOGS__LEVEL": "warning",
        }
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._child = subprocess.Popen(self._command, cwd=ROOT, env=self._environment)
        until = time.monotonic() + SECONDS
        while not self._ready():
            assert self._child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)

    def kill(self) -> None:
        if self._child:
            self._child.kill()
            self._child.wait()

    def post(self, number: int, webhook: str) -> str:
        """Accepted once, however often it has to be sent: the process may be killed meanwhile."""
        body, key = photo(96 + number, 64), {"Idempotency-Key": f"job-{number}"}
        where = httpx.URL(f"{self.url}/v1/jobs", params={"webhook_url": webhook})
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                answer = httpx.post(where, content=body, headers=key, timeout=30)
            except httpx.TransportError:
                if self._child is None or self._child.poll() is not None:
                    self.start()
                continue
            assert answer.status_code == 202, answer.text
            return str(answer.json()["id"])
        raise AssertionError("not accepted in time")

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def service_of(command: list[str], directory: Path, port: int, webhook_port: int) -> Iterator[Service]:
    service = Service(command, directory, port, webhook_port)
    service.start()
    try:
        yield service
    finally:
        service.kill()


@pytest.mark.parametrize(
    ("command", "count", "kills"),
    [
        pytest.param(SMALL, 12, 2, id="12 jobs, a fake network"),
        pytest.param(WHOLE, 50, 5, id="50 jobs, objectcut serve", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
def test_every_accepted_job_ends_exactly_once(
    command: list[str], count: int, kills: int, tmp_path: Path, unused_tcp_port: int
) -> None:
    with receiving() as receiver, service_of(command, tmp_path, unused_tcp_port, receiver.port) as service:
        jobs = []
        for number in range(count):
            if number == count // 2:
                service.kill()  # while the first are worked on, and before the next is accepted
            jobs.append(service.post(number, receiver.url))
        assert len(set(jobs)) == count
        begin = len(receiver.acknowledged)
        for kill in range(1, kills):
            wait_for(receiver, begin + (count - begin) * kill // kills)
            service.kill()
            service.start()
        wait_for(receiver, count)
        assert_each_ended_once(service, receiver, jobs, kills)
        wait_until_delivered(tmp_path)
        service.kill()
    assert_nothing_is_left(tmp_path, count)


def wait_for(receiver: Receiver, count: int) -> None:
    """Until so many jobs have been acknowledged."""
    until = time.monotonic() + SECONDS
    while len({received.id for received in list(receiver.acknowledged)}) < count:
        assert time.monotonic() < until
        time.sleep(0.005)


def assert_each_ended_once(service: Service, receiver: Receiver, jobs: list[str], kills: int) -> None:
    told = Counter(received.data["id"] for received in receiver.acknowledged)
    assert set(told) == set(jobs)
    assert len({received.id for received in receiver.acknowledged}) == len(jobs)
    # Acknowledged, and killed before that was noted: such a one comes again, under the same id.
    assert told.total() - len(jobs) <= kills * AT_ONCE
    with httpx.Client(base_url=service.url, timeout=30) as http:
        results = set()
        for id in jobs:
            job = http.get(f"/v1/jobs/{id}").json()
            assert (job["status"], job["total"], job["succeeded"]) == ("succeeded", 1, 1)
            (cutout,) = [item["cutout"] for item in job["items"]]
            assert http.get(cutout["url"].partition(service.url)[2]).status_code == 200
            results.add(cutout["id"])
        assert len(results) == len(jobs)


def wait_until_delivered(directory: Path) -> None:
    until = time.monotonic() + 30
    with closing(sqlite3.connect(directory / "jobs.sqlite")) as database:
        while database.execute("SELECT count(*) FROM deliveries").fetchone() != (0,):
            assert time.monotonic() < until
            time.sleep(0.02)


def assert_nothing_is_left(directory: Path, count: int) -> None:
    """One result a job, and neither uploads nor anything half done."""
    files = [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]
    results = [path for path in files if path.parent == Path("cutouts/objects")]
    assert len(results) == count
    others = {str(path) for path in files if path not in results}
    assert others <= {
        "jobs.sqlite",
        "jobs.sqlite-wal",
        "jobs.sqlite-shm",
        "jobs.lock",
        "cutouts/lock",
        "cutouts/signing-key",
    }
    with closing(sqlite3.connect(directory / "jobs.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM uploads").fetchone() == (0,)
        unfinished = "SELECT count(*) FROM items WHERE status != 'succeeded'"
        assert database.execute(unfinished).fetchone() == (0,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
