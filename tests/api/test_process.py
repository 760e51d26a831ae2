"""What only a real process shows: stopping under load, exit statuses, and that nothing grows."""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.serve import DEVICE_LOST
from tests.api.small_server import small_server
from tests.fakes import photo

PHOTO = photo()
CLEAR = photo(80, 80, ".png")
pytestmark = pytest.mark.timeout(400)

Running = tuple["subprocess.Popen[bytes]", httpx.Client]


@pytest.fixture
def running(tmp_path: Path, unused_tcp_port: int) -> Iterator[Running]:
    with small_server(tmp_path, unused_tcp_port) as server:
        yield server


def test_sigterm_under_load_fails_no_request(running: Running) -> None:
    """Clients behave as a load balancer does: none sends more to a service that is no longer ready."""
    child, http = running
    stop = threading.Event()
    answers: list[tuple[float, int]] = []

    def client() -> None:
        while not stop.is_set():
            # A connection each: whoever is turned away at the door would show.
            answer = httpx.post(f"{http.base_url}/v1/cutouts", content=PHOTO, timeout=30)
            answers.append((time.monotonic(), answer.status_code))

    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()
    while len(answers) < 10:
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    signalled = time.monotonic()
    while http.get("/readyz").status_code == httpx.codes.OK:
        time.sleep(0.01)
    while sum(at > signalled for at, _ in answers) < 3:
        time.sleep(0.01)
    stop.set()
    for thread in clients:
        thread.join()
    assert {status for _, status in answers} == {httpx.codes.CREATED}
    assert child.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{http.base_url}/readyz")


def test_a_lost_device_is_told_by_the_exit_status(running: Running) -> None:
    child, _ = running
    child.send_signal(signal.SIGUSR1)
    assert child.wait(10) == DEVICE_LOST


def test_nothing_grows(running: Running) -> None:
    child, http = running
    before = after_requests(child.pid, http, 15)
    later = after_requests(child.pid, http, 30)
    assert later[0] < before[0] * 1.05
    assert abs(later[1] - before[1]) <= 2
    assert abs(later[2] - before[2]) <= 2


def after_requests(process: int, http: httpx.Client, rounds: int) -> tuple[int, int, int]:
    """What the process holds after so many rounds, once nothing is in flight."""
    for _ in range(rounds):
        mixed_requests(http)
    until = time.monotonic() + 30
    while "objectcut_in_flight 0.0" not in http.get("/metrics").text.splitlines():
        assert time.monotonic() < until
        time.sleep(0.01)
    return held_by(process)


def mixed_requests(http: httpx.Client) -> None:
    """Ten requests, of every fate."""
    made = http.post("/v1/cutouts", content=PHOTO)
    for method, path, status, request in (
        ("GET", made.json()["url"], 200, {}),
        ("DELETE", made.headers["location"], 204, {}),
        ("POST", "/v1/cutouts?format=webp", 200, {"content": CLEAR, "headers": {"Accept": "image/*"}}),
        ("POST", "/v1/cutouts?background=blur", 201, {"files": {"image": PHOTO}}),
        ("POST", "/v1/cutouts", 422, {"content": PHOTO[:300]}),
        ("POST", "/v1/cutouts", 422, {"json": {"image_url": "http://127.0.0.1/a.jpg"}}),
        ("POST", "/v1/cutouts?quality=0", 400, {"content": PHOTO}),
        ("GET", "/nothing", 404, {}),
    ):
        answer = http.request(method, path, **request)
        assert answer.status_code == status, (method, path, answer.text)
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)) as leaver:
        leaver.sendall(b"POST /v1/cutouts HTTP/1.1\r\nHost: t\r\nContent-Length: 9000\r\n\r\n" + PHOTO[:500])


def held_by(process: int) -> tuple[int, int, int]:
    """Resident memory (kB), open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]), files, int(status["Threads"])
