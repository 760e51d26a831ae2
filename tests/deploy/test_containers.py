"""Dockerfile and compose file: right by their schemas, and by the rules that confine containers."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from api.environment import variables
from api.fleet.settings import WorkerSettings
from api.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
TARGETS = ("api", "worker-cpu", "worker-gpu", "all-in-one", "edge")


def stages() -> dict[str, str]:
    """Each stage's lines by its name."""
    parts = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {re.match(r"\S+ AS (\S+)", part)[1]: f"FROM {part}" for part in parts}  # type: ignore[index]


def tool(name: str, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [Path(sys.executable).with_name(name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_hadolint_has_nothing_to_say() -> None:
    said = tool("hadolint", DEPLOY / "Dockerfile")
    assert (said.returncode, said.stdout) == (0, "")


def test_the_compose_file_is_one() -> None:
    said = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yml")
    assert said.returncode == 0, said.stdout


def test_bases_are_pinned() -> None:
    own = stages()
    bases = {re.match(r"FROM (\S+)", text)[1] for text in own.values()} - own.keys()  # type: ignore[index]
    assert bases == {"python:${PYTHON_VERSION}-slim-bookworm", "traefik:v3.7.15"}
    assert re.search(r"^ARG PYTHON_VERSION=\d+\.\d+\.\d+$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_has_no_root_and_a_health_check(target: str) -> None:
    text = stages()[target]
    assert "USER 10001:10001" in text
    check = re.search(r"HEALTHCHECK .*CMD (\[.*\])", text)
    assert check
    assert not re.search("curl|wget", check[1])
    assert text.index("USER 10001:10001") > text.index("COPY")


def test_the_images_of_processes_have_tini_and_a_process_of_their_own() -> None:
    own = stages()
    assert 'ENTRYPOINT ["tini", "--"]' in own["runtime"]
    for target in TARGETS[:-1]:
        assert own[target].startswith("FROM runtime")
        assert re.search(r'^CMD \["objectcut", "(serve|worker)"\]$', own[target], re.MULTILINE)


def test_nothing_secret_is_built_in() -> None:
    assert not re.search(r"(ENV|ARG).*(SECRET|TOKEN|KEY|PASSWORD)", DOCKERFILE)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert "*" in ignored, "what is not named stays out"
    for path in (line.removeprefix("!") for line in ignored if line.startswith("!")):
        assert (ROOT / path).exists()


@pytest.mark.parametrize("stage", ["api", "worker-cpu", "worker-gpu", "all-in-one"])
def test_variables_of_images_are_settings(stage: str) -> None:
    known = {name for kind in (Settings, WorkerSettings) for name, _ in variables(kind)}
    named = set(re.findall(r"\b(OBJECTCUT_[A-Z_]+)=", stages()["runtime"] + stages()[stage]))
    assert named
    assert named <= known


SHARED = ("otel", "redis", "s3")
"""Extras that the image of the service has: what its replicas share."""


def names(file: str) -> set[str]:
    lines = (DEPLOY / "requirements" / file).read_text().splitlines()
    return {Requirement(line).name for line in lines if line and not line.startswith("#")}


def declared(*extras: str) -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        *project["dependencies"],
        *(each for extra in extras for each in project["optional-dependencies"][extra]),
    ]
    return {each.name: each for each in map(Requirement, lines)}


def test_the_service_needs_everything_but_torch() -> None:
    assert names("api.txt") == declared(*SHARED).keys() - {"torch", "safetensors", "huggingface_hub"}


def test_a_worker_needs_no_codec_and_no_client() -> None:
    worker = names("worker.txt")
    assert worker <= declared().keys()
    assert not worker & {"pillow", "opencv-python-headless", "httpx", "httpcore", "google-cloud-storage"}


@pytest.mark.parametrize("file", ["api.txt", "worker.txt"])
def test_requirements_are_the_projects_own(file: str) -> None:
    for line in (DEPLOY / "requirements" / file).read_text().splitlines():
        if line and not line.startswith("#"):
            assert Requirement(line) == declared(*SHARED)[Requirement(line).name]


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    lines = (DEPLOY / "requirements" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for name in names("api.txt") | names("worker.txt") | {"huggingface_hub"}:
        pinned = pins[name.replace("_", "-").lower()]
        assert declared(*SHARED)[name].specifier.contains(pinned), name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert all("size=" in mount for mount in service["tmpfs"])
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & service.keys()
    assert not any("docker.sock" in volume or volume.startswith((".", "/")) for volume in service["volumes"])
    assert service["image"].rpartition(":")[2] not in ("", "latest")
    assert service["build"]["target"] in TARGETS


def test_only_traefik_is_published() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["traefik"]
    published = {port.rpartition(":")[2] for port in SERVICES["traefik"]["ports"]}
    points = yaml.safe_load((ROOT / "traefik" / "traefik.yml").read_text())["entryPoints"]
    assert published == {points[name]["address"].removeprefix(":") for name in ("web", "websecure")}


def test_workers_have_no_way_out() -> None:
    assert COMPOSE["networks"]["workers"]["internal"] is True
    for name in ("worker-cpu", "worker-gpu"):
        assert SERVICES[name]["networks"] == ["workers"]
        assert all(volume.endswith(":ro") for volume in SERVICES[name]["volumes"])
    assert "workers" not in SERVICES["api"]["networks"], (
        "the way to workers is Traefik's internal entry point"
    )


def test_secrets_are_files_and_reach_those_who_need_them() -> None:
    assert {name for name, secret in COMPOSE["secrets"].items() if "file" in secret} == COMPOSE[
        "secrets"
    ].keys()
    holders = {name: set(service.get("secrets", ())) for name, service in SERVICES.items()}
    assert {name for name, has in holders.items() if "objectcut_secret_access" in has} == {"api"}
    assert holders["traefik"] == holders["pull"] == set()
    for service in SERVICES.values():
        assert not any(re.search("SECRET|TOKEN|PASSWORD", name) for name in service.get("environment", {}))
    assert "/deploy/secrets/" in (ROOT / ".gitignore").read_text().split()


def test_time_to_stop() -> None:
    """Longer than a process takes: the delay, the longest request, and its answer."""
    settings, worker = Settings(), WorkerSettings()
    service = settings.drain_delay + settings.limits.timeout + settings.limits.send_timeout
    inference = worker.drain_delay + worker.timeout + worker.engine.drain_timeout
    assert seconds("api") > service
    assert min(seconds("worker-cpu"), seconds("worker-gpu")) > inference
    traefik = yaml.safe_load((ROOT / "traefik" / "traefik.yml").read_text())
    cycle = traefik["entryPoints"]["websecure"]["transport"]["lifeCycle"]
    total = sum(int(value.removesuffix("s")) for value in cycle.values())
    assert seconds("traefik") > total


def seconds(name: str) -> int:
    return int(SERVICES[name]["stop_grace_period"].removesuffix("s"))


def test_variables_of_services_are_settings() -> None:
    for name, kind in (("api", Settings), ("worker-cpu", WorkerSettings), ("worker-gpu", WorkerSettings)):
        known = {variable for variable, _ in variables(kind)}
        assert SERVICES[name]["environment"].keys() <= known
        assert {secret.upper() for secret in SERVICES[name]["secrets"]} <= known


@pytest.mark.parametrize("file", ["cpu.env", "gpu.env"])
def test_addresses_are_those_of_replicas(file: str) -> None:
    lines = (DEPLOY / file).read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    profile = values["COMPOSE_PROFILES"]
    default = re.search(r"EDGE_APIS:-([^}]+)", SERVICES["traefik"]["environment"]["EDGE_APIS"])
    assert default
    for service, port, urls in (
        ("api", 8000, default[1]),
        (f"worker-{profile}", 8001, values["EDGE_CPU_WORKERS"]),
    ):
        count = SERVICES[service]["deploy"]["replicas"]
        wanted = [f"http://{COMPOSE['name']}-{service}-{number + 1}:{port}" for number in range(count)]
        assert urls.split(",") == wanted


def test_the_edges_variables_are_those_of_its_template() -> None:
    template = (ROOT / "traefik" / "dynamic.yml").read_text()
    known = set(re.findall(r'env "(EDGE_\w+)"', template))
    assert SERVICES["traefik"]["environment"].keys() <= known
    head = template.partition("\nhttp:")[0]
    assert all(name in head for name in known), "each is explained at the top"
