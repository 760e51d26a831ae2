"""The shipped Traefik configuration before processes of this machine: only ports and addresses differ."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml

from tests.deploy.small_worker import TOKEN

ROOT = Path(__file__).parents[2]
TRAEFIK = Path(sys.executable).with_name("traefik")
BEARER = {"Authorization": f"Bearer {TOKEN}"}
_START_SECONDS = 60.0


@dataclass
class Process:
    """One process that listens on a port. It can be stopped and started again."""

    command: Sequence[str]
    port: int
    env: dict[str, str] = field(default_factory=dict)
    health: str = "/readyz"
    log: Path = Path(os.devnull)
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        assert self.child
        return self.child

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                self.command,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | self.env,
            )

    def wait_until_ready(self) -> None:
        until(self._ready, _START_SECONDS)

    def stop(self) -> int:
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(60)

    def kill(self) -> None:
        if self.child:
            self.child.kill()
            self.child.wait()

    def _ready(self) -> bool:
        assert self.running.poll() is None, f"{self.command} has ended: {self.log.read_text()[-3000:]}"
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}{self.health}", timeout=2).status_code == httpx.codes.OK
        return False


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    listeners = [socket.socket() for _ in range(count)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def until(true: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


def worker(port: int, seconds: float, name: str, log: Path) -> Process:
    command = (sys.executable, "-m", "tests.deploy.small_worker", str(port), str(seconds), name)
    return Process(command, port, log=log)


def service(port: int, engine: str, directory: Path) -> Process:
    """The real command; its pictures are answered in bytes, so that it stores nothing."""
    command = (
        sys.executable,
        "-m",
        "api.cli",
        "serve",
        "--anonymous",
        "--engine",
        engine,
        "--port",
        str(port),
    )
    env = {
        "OBJECTCUT_WORKER_TOKEN": TOKEN,
        "OBJECTCUT_DATA_DIR": str(directory / str(port)),
        "OBJECTCUT_CPU_JOBS": "1",
        "OBJECTCUT_PICTURES": "16",
        "OBJECTCUT_TRUSTED_PROXIES": '["127.0.0.1"]',
    }
    return Process(command, port, env, log=directory / f"service-{port}.log")


@dataclass
class Edge:
    """A running Traefik. web, secure, internal: origins of its entry points."""

    process: Process
    web: str
    secure: str
    internal: str

    def client(self, timeout: float = 30) -> httpx.Client:
        return httpx.Client(base_url=self.secure, verify=False, timeout=timeout)  # noqa: S501 its own certificate


@contextmanager
def edge(directory: Path, **variables: str) -> Iterator[Edge]:
    """Traefik with traefik/*.yml. variables: those of dynamic.yml, without EDGE_."""
    web, secure, internal, operations = free_ports(4)
    static = yaml.safe_load((ROOT / "traefik" / "traefik.yml").read_text())
    points = {"web": web, "websecure": secure, "internal": internal, "operations": operations}
    assert set(points) == set(static["entryPoints"])
    for name, port in points.items():
        static["entryPoints"][name]["address"] = f"127.0.0.1:{port}"
    static["providers"]["file"]["filename"] = str(ROOT / "traefik" / "dynamic.yml")
    static["certificatesResolvers"]["letsencrypt"]["acme"]["storage"] = str(directory / "acme.json")
    static["accessLog"]["filePath"] = str(directory / f"access-{secure}.log")
    file = directory / f"traefik-{secure}.yml"
    file.write_text(yaml.safe_dump(static))
    env = {"INTERNAL_SOURCES": "127.0.0.1/32"} | variables
    process = Process(
        (str(TRAEFIK), f"--configFile={file}"),
        operations,
        {f"EDGE_{name}": value for name, value in env.items()},
        health="/ping",
        log=directory / f"traefik-{secure}.log",
    )
    process.start()
    try:
        process.wait_until_ready()
        yield Edge(
            process,
            f"http://127.0.0.1:{web}",
            f"https://127.0.0.1:{secure}",
            f"http://127.0.0.1:{internal}",
        )
    finally:
        process.kill()


def mattes(process: Process) -> int:
    """Pictures that a worker has inferred."""
    return _answered(process, 'route="/v1/mattes/{model}/{size}",status="200"', "POST")


def cutouts(process: Process) -> int:
    """Requests that a service has answered."""
    return _answered(process, 'route="/v1/cutouts",status="200"', "POST")


def _answered(process: Process, labels: str, method: str) -> int:
    wanted = f'objectcut_requests_total{{method="{method}",{labels}}} '
    for line in httpx.get(f"{process.url}/metrics").text.splitlines():
        if line.startswith(wanted):
            return int(float(line.removeprefix(wanted)))
    return 0


def device_of(running: Edge, what: str) -> str:
    """Which worker a picture of that model and size would go to."""
    try:
        answer = httpx.get(f"{running.internal}/v1/mattes/{what}", headers=BEARER, timeout=2)
    except httpx.ReadTimeout:
        return "nobody"
    return str(answer.json()["device"]) if answer.status_code == httpx.codes.OK else "nobody"
