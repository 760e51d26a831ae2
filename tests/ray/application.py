"""The shipped deploy/ray/serve.yaml on a cluster of this machine: only addresses and sizes differ."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from ray import serve

from tests.deploy.edge import free_ports, until
from tests.fakes import photo

__all__ = ["APPLICATION", "BYTES", "PHOTO", "Deployed", "deployed", "shipped"]

CONFIG = Path(__file__).parents[2] / "deploy" / "ray" / "serve.yaml"
APPLICATION = "objectcut"
PHOTO = photo(320, 240)
BYTES = {"Accept": "image/png"}
START_SECONDS = 240.0
"""For processes that import torch, side by side on few cores."""


def shipped() -> dict[str, Any]:
    """What deploy/ray/serve.yaml says."""
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return config


@dataclass
class Deployed:
    """The application behind Ray's proxy."""

    url: str

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)

    def cut(self, **options: str) -> httpx.Response:
        """One picture, on a connection of its own."""
        with self.client() as http:
            return http.post("/v1/cutouts", params=options, content=PHOTO, headers=BYTES)

    def ready(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == httpx.codes.OK
        return False

    def running(self, deployment: str) -> int:
        """Its replicas that serve."""
        pool = serve.status().applications[APPLICATION].deployments[deployment]
        return sum(count for state, count in pool.replica_states.items() if state == "RUNNING")


@contextmanager
def deployed(
    address: str,
    log: Path,
    *,
    arguments: Mapping[str, Any],
    deployments: Mapping[str, Mapping[str, Any]],
) -> Iterator[Deployed]:
    """Runs `serve run` until the context ends. address: of the cluster.

    arguments: over the shipped `args`. deployments: over the shipped options, by name.
    """
    config = shipped()
    (port,) = free_ports(1)
    config["proxy_location"] = "HeadOnly"
    config["http_options"] |= {"port": port}
    (application,) = config["applications"]
    application["args"] |= arguments
    known = {options["name"]: options for options in application["deployments"]}
    application["deployments"] = [
        known.get(name, {}) | {"name": name} | dict(options) for name, options in deployments.items()
    ]
    path = log.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    command = (str(Path(sys.executable).with_name("serve")), "run", str(path), "--address", address)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
    service = Deployed(f"http://127.0.0.1:{port}")

    def ready() -> bool:
        assert child.poll() is None, log.read_text()[-3000:]
        time.sleep(0.5)  # the processes that are starting need the core
        return service.ready()

    try:
        until(ready, START_SECONDS)
        yield service
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
