"""What the way through a cluster costs: the application against one process of the service, turn by turn."""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.edge import Process, free_ports
from tests.deploy.load import loading
from tests.fakes import photo
from tests.ray.application import BYTES, deployed
from tests.ray.cluster import ray_cluster

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

PHOTO = photo(1280, 960)
CLIENTS = 8
SECONDS = 6.0
TURNS = 3
CORES = 2
"""Of the machine that both share: one process has both, and so have the replicas, one each."""
QUICK = {"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}


def pace(url: str) -> float:
    """Cutouts per second of clients that never pause."""

    def ask() -> httpx.Response:
        return http.post("/v1/cutouts", content=PHOTO, headers=BYTES)

    with httpx.Client(base_url=url, timeout=60) as http:
        ask()
        started = time.monotonic()
        with loading(CLIENTS, ask) as load:
            time.sleep(SECONDS)
        seconds = time.monotonic() - started
    assert load.failed() == [], load.errors[:3]
    return len(load.answers) / seconds


@pytest.mark.parametrize(
    ("name", "flags", "least"),
    [
        pytest.param("Ray's proxy", {}, 0.5, id="proxy"),
        pytest.param("HAProxy", QUICK, 0.6, id="haproxy"),
    ],
)
def test_throughput(
    name: str, flags: dict[str, str], least: float, tmp_path: Path, figure: Callable[[str, str], None]
) -> None:
    settings = {"OBJECTCUT_ANONYMOUS": "true", "OBJECTCUT_ENGINE__PRECISION": "bfloat16"}
    (port,) = free_ports(1)
    command = (sys.executable, "-m", "api.cli", "serve", "--port", str(port))
    own = {"OBJECTCUT_DATA_DIR": str(tmp_path / "one"), "OBJECTCUT_ENGINE__CORES": str(CORES)}
    one = Process(command, port, settings | own)
    deployments: dict[str, dict[str, Any]] = {
        "ingress": {"num_replicas": 1, "ray_actor_options": {"num_cpus": CORES}},
        "lite": {"num_replicas": CORES, "autoscaling_config": None, "ray_actor_options": {"num_cpus": 1}},
    }
    own = {"OBJECTCUT_DATA_DIR": str(tmp_path / "ray"), "OBJECTCUT_PICTURES": str(CLIENTS)}
    one.start()
    try:
        with ray_cluster(2 * CORES, environment=settings | flags | own) as nodes:
            arguments = {"pools": {"lite": {"models": ["lite"]}}}
            log = tmp_path / "serve.log"
            with deployed(nodes.address, log, arguments=arguments, deployments=deployments) as service:
                one.wait_until_ready()
                turns = [(pace(one.url), pace(service.url)) for _ in range(TURNS)]
    finally:
        one.kill()
    alone, through_ray = (statistics.median(paces) for paces in zip(*turns, strict=True))
    figure(
        f"one process, {name}", f"{alone:.1f}, {through_ray:.1f} images/s, {through_ray / alone:.2f} of it"
    )
    assert through_ray / alone >= least, turns
