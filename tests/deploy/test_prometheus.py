"""The real Prometheus with the shipped configuration, asking a service and a worker."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.edge import ROOT, Process, free_ports, service, until, worker
from tests.fakes import photo

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(180)]

DEPLOY = ROOT / "deploy"
SERVICE, WORKER = "api-1:8000", "worker-1:8001"
"""What the addresses would be in containers: by their port a worker is known."""


def configured(directory: Path, targets: dict[str, Process]) -> Path:
    """The shipped files, with these in place of what names lead to; it asks every second."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    job, _ = config["scrape_configs"]
    config["scrape_configs"] = [job]
    del job["dns_sd_configs"]
    job["static_configs"] = [
        {"targets": [process.url.removeprefix("http://")], "labels": {"instance": name}}
        for name, process in targets.items()
    ]
    for rules in config["rule_files"]:
        shutil.copy(DEPLOY / "prometheus" / rules, directory)
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Process]]:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: it is in Debian's package of that name")
    ports = free_ports(3)
    directory = tmp_path_factory.mktemp("prometheus")
    asked = {
        WORKER: worker(ports[0], 0.02, "cpu-0", directory / "worker.log"),
        SERVICE: service(ports[1], f"http://127.0.0.1:{ports[0]}", directory),
    }
    command = (
        program,
        f"--config.file={configured(directory, asked)}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{ports[2]}",
    )
    prometheus = Process(command, ports[2], health="/-/ready", log=directory / "prometheus.log")
    try:
        for process in (*asked.values(), prometheus):
            process.start()
            process.wait_until_ready()
        yield asked | {"prometheus": prometheus}
    finally:
        for process in (prometheus, *asked.values()):
            process.kill()


class Asked:
    """Prometheus' own API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def data(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression: str) -> dict[str, float]:
        """By instance."""
        found = self.data("query", query=expression)["result"]
        return {each["metric"].get("instance", ""): float(each["value"][1]) for each in found}


def test_it_asks_service_and_worker_and_counts_nothing_twice(processes: dict[str, Process]) -> None:
    prometheus = Asked(processes["prometheus"].url)
    for _ in range(3):
        answer = httpx.post(
            f"{processes[SERVICE].url}/v1/cutouts",
            content=photo(),
            headers={"Accept": "image/png"},
            timeout=30,
        )
        assert answer.status_code == 200
    both = {SERVICE: 1.0, WORKER: 1.0}
    until(lambda: prometheus.value('up{job="objectcut"}') == both, 20)
    until(lambda: prometheus.value('objectcut_requests_total{route="/v1/cutouts"}') == {SERVICE: 3.0}, 20)
    assert prometheus.value("objectcut_ready") == both
    assert prometheus.value("process_open_fds").keys() == both.keys()
    for metric in ("objectcut_requests_total", "objectcut_errors_total", "objectcut_in_flight"):
        assert prometheus.value(f"count by (instance) ({metric})").keys() == {SERVICE}
    (group,) = prometheus.data("rules")["groups"]
    shipped = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    assert [rule["name"] for rule in group["rules"]] == [rule["alert"] for rule in shipped]
    until(lambda: {rule["health"] for rule in prometheus.data("rules")["groups"][0]["rules"]} == {"ok"}, 20)
    assert prometheus.data("alerts")["alerts"] == []
    processes[WORKER].kill()
    until(lambda: prometheus.value("up == 0").keys() == {WORKER}, 20)
    until(lambda: prometheus.data("alerts")["alerts"] != [], 20)
    assert {each["labels"]["alertname"] for each in prometheus.data("alerts")["alerts"]} <= {
        "ObjectCutDown",
        "ObjectCutGone",
        "ObjectCutNotReady",
    }


def test_the_health_check_of_the_compose_file(processes: dict[str, Process]) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yml").read_text())
    kind, *command = compose["services"]["prometheus"]["healthcheck"]["test"]
    assert kind == "CMD"
    prometheus = processes["prometheus"]
    here = [word.replace("http://127.0.0.1:9090", prometheus.url) for word in command]
    assert prometheus.url in " ".join(here)
    assert subprocess.run(here, timeout=20, check=False).returncode == 0
    prometheus.kill()
    assert subprocess.run(here, timeout=20, check=False).returncode != 0
