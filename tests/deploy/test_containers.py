"""Dockerfile and compose file: right by their schemas, and by the rules that confine containers."""

import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.environment import variables
from api.fleet.settings import WorkerSettings
from api.settings import Settings
from api.storage import S3Config
from model.registry import REGISTRY

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROCESSES = ("api", "worker-cpu", "worker-gpu", "all-in-one")
TARGETS = (*PROCESSES, "edge", "storage")
OTHERS = {"prometheus": "prom/prometheus:v3.13.3", "grafana": "grafana/grafana:13.2.3"}
"""Images that are run as they are, under the users that they were made for."""
PUBLISHED = {"traefik", "grafana"}


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
    assert bases == {"python:${PYTHON_VERSION}-slim-bookworm", "traefik:v3.7.15", "dxflrs/garage:v2.4.1"}
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
    for target in PROCESSES:
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


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["user"].partition(":")[0] not in ("", "0", "root")
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert all("size=" in mount for mount in service["tmpfs"])
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & service.keys()
    volumes = service.get("volumes", ())
    assert not any("docker.sock" in volume or volume.startswith((".", "/")) for volume in volumes)
    assert service["image"].rpartition(":")[2] not in ("", "latest")
    if name in OTHERS:
        assert "build" not in service
        assert service["image"] == OTHERS[name]
    else:
        assert service["user"] == "10001:10001"
        assert service["build"]["target"] in TARGETS


def test_only_traefik_is_published_to_others() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == PUBLISHED
    (grafana,) = SERVICES["grafana"]["ports"]
    assert grafana.startswith("127.0.0.1:")
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


def test_what_is_published_to_nobody_has_no_way_out() -> None:
    networks = COMPOSE["networks"]
    inside = {name for name, network in networks.items() if network.get("internal")}
    assert inside == {"workers", "storage", "links", "monitoring"}
    for name in ("storage", "bucket", "prometheus"):
        assert set(SERVICES[name]["networks"]) <= inside
    (outside,) = set(SERVICES["grafana"]["networks"]) - inside
    assert networks[outside]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert [name for name, service in SERVICES.items() if outside in service["networks"]] == ["grafana"]


def test_two_services_share_one_network_at_most() -> None:
    """From a second one they would come with addresses that nobody trusts."""
    for one, other in itertools.combinations(SERVICES.values(), 2):
        assert len(set(one["networks"]) & set(other["networks"])) <= 1
    front = {name for name, service in SERVICES.items() if "front" in service["networks"]}
    assert {"traefik", "api"} <= front
    (subnet,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert SERVICES["traefik"]["environment"]["EDGE_INTERNAL_SOURCES"] == subnet["subnet"]
    assert json.loads(SERVICES["api"]["environment"]["OBJECTCUT_TRUSTED_PROXIES"]) == [subnet["subnet"]]
    assert "links" in SERVICES["traefik"]["networks"]
    assert set(SERVICES["storage"]["networks"]) == {"storage", "links"}


def test_secrets_are_files_and_reach_those_who_need_them() -> None:
    assert {name for name, secret in COMPOSE["secrets"].items() if "file" in secret} == COMPOSE[
        "secrets"
    ].keys()
    holders = {name: set(service.get("secrets", ())) for name, service in SERVICES.items()}
    assert {name for name, has in holders.items() if "objectcut_secret_access" in has} == {"api"}
    assert holders["traefik"] == holders["pull"] == holders["prometheus"] == set()
    key = {"objectcut_store__s3__access_key_id", "objectcut_store__s3__secret_access_key"}
    assert {name for name, has in holders.items() if has & key} == {"api", "storage", "bucket"}
    assert {name for name, has in holders.items() if "grafana_admin_password" in has} == {"grafana"}
    for service in SERVICES.values():
        named = [name for name in service.get("environment") or {} if not name.endswith("__FILE")]
        assert not any(re.search("SECRET|TOKEN|PASSWORD", name) for name in named)
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
    for name, kind in (
        ("api", Settings),
        ("bucket", Settings),
        ("worker-cpu", WorkerSettings),
        ("worker-gpu", WorkerSettings),
    ):
        known = {variable for variable, _ in variables(kind)}
        assert SERVICES[name]["environment"].keys() <= known
        assert {secret.upper() for secret in SERVICES[name]["secrets"]} <= known


def test_the_recipes_for_storage_reach_the_service() -> None:
    recipes = set(
        re.findall(r"^(OBJECTCUT_STORE__\w+)=", (ROOT / "docs" / "STORAGE.md").read_text(), re.MULTILINE)
    )
    files = {secret.upper() for secret in SERVICES["api"]["secrets"]}
    assert "OBJECTCUT_STORE__S3__PUBLIC_URL" in recipes
    assert recipes <= SERVICES["api"]["environment"].keys() | files
    # An empty text would be a setting; no value is none.
    optional = recipes - files - {"OBJECTCUT_STORE__KIND"}
    assert {SERVICES["api"]["environment"][name] for name in optional} == {None}


def test_memory_holds_what_a_service_works_on() -> None:
    """Of pictures of 25 megapixels: 391 MB at work, 4 bytes a pixel as it waits."""
    given = SERVICES["api"]["environment"]
    jobs, pictures = (
        int(re.fullmatch(r"\$\{\w+:-(\d+)\}", given[name])[1])  # type: ignore[index]
        for name in ("OBJECTCUT_CPU_JOBS", "OBJECTCUT_PICTURES")
    )
    assert jobs * 391e6 + pictures * 100e6 < int(SERVICES["api"]["mem_limit"].removesuffix("g")) << 30


def test_a_worker_has_room_to_convert_any_network() -> None:
    """OpenVINO's files have been up to 13 % larger than the weights."""
    (mount,) = SERVICES["worker-cpu"]["tmpfs"]
    size = re.search(r"size=(\d+)g", mount)
    assert size
    assert int(size[1]) << 30 > 1.13e6 * max(spec.weights.megabytes or 0 for spec in REGISTRY.values())


@pytest.mark.parametrize("file", ["cpu.env", "gpu.env"])
def test_addresses_are_those_of_replicas(file: str) -> None:
    given = values(file)
    profile = given["COMPOSE_PROFILES"]
    default = re.search(r"EDGE_APIS:-([^}]+)", SERVICES["traefik"]["environment"]["EDGE_APIS"])
    assert default
    for service, port, urls in (
        ("api", 8000, default[1]),
        (f"worker-{profile}", 8001, given["EDGE_CPU_WORKERS"]),
    ):
        count = SERVICES[service]["deploy"]["replicas"]
        wanted = [f"http://{COMPOSE['name']}-{service}-{number + 1}:{port}" for number in range(count)]
        assert urls.split(",") == wanted


def test_the_edges_variables_are_those_of_its_template() -> None:
    template = (ROOT / "traefik" / "dynamic.yml").read_text()
    known = set(re.findall(r'env "(EDGE_\w+)"', template))
    files = {"EDGE_TLS_CERTIFICATE", "EDGE_TLS_KEY"}  # for an override file, which mounts them
    assert SERVICES["traefik"]["environment"].keys() == known - files
    head = template.partition("\nhttp:")[0]
    assert all(name in head for name in known), "each is explained at the top"


def values(file: str) -> dict[str, str]:
    lines = (DEPLOY / file).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_profiles() -> None:
    of = {name: set(service.get("profiles", ())) for name, service in SERVICES.items()}
    assert {profile for each in of.values() for profile in each} == {
        "cpu",
        "gpu",
        "monitoring",
        "storage",
        "pull",
    }
    assert not of["traefik"] | of["api"], "they are there whatever the profile"
    assert {values(file)["COMPOSE_PROFILES"] for file in ("cpu.env", "gpu.env")} == {"cpu", "gpu"}


def test_settings_of_the_storage_profile_reach_the_service_and_lead_to_it() -> None:
    given = values("storage.env")
    ours = {name: value for name, value in given.items() if name.startswith("OBJECTCUT_")}
    assert ours.keys() <= SERVICES["api"]["environment"].keys() & SERVICES["bucket"]["environment"].keys()
    assert given.keys() - ours.keys() <= SERVICES["traefik"]["environment"].keys()
    garage = tomllib.loads((DEPLOY / "storage" / "garage.toml").read_text())
    port = garage["s3_api"]["api_bind_addr"].rpartition(":")[2]
    assert given["EDGE_STORAGE"] == ours["OBJECTCUT_STORE__S3__ENDPOINT"] == f"http://storage:{port}"
    assert ours["OBJECTCUT_STORE__S3__LINK_ENDPOINT"] == values("cpu.env")["OBJECTCUT_PUBLIC_URL"]
    assert garage["s3_api"]["s3_region"] == S3Config().region
    folder = SERVICES["storage"]["volumes"][0].partition(":")[2]
    assert all(garage[name].startswith(f"{folder}/") for name in ("metadata_dir", "data_dir"))


def test_the_settings_of_the_storage_profile_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in values("storage.env").items():
        if name.startswith("OBJECTCUT_"):
            monkeypatch.setenv(name, value)
    store = Settings().store
    assert (store.kind, store.s3.bucket, store.s3.conditional_puts) == ("s3", "cutouts", False)


def test_the_storages_key_stays_in_files(tmp_path: Path) -> None:
    """The shipped script, with a Garage that only tells what it was given."""
    for name, value in (("access_key_id", "GK0123"), ("secret_access_key", "4567")):
        (tmp_path / f"objectcut_store__s3__{name}").write_text(f"{value}\n")
    garage = tmp_path / "garage"
    garage.write_text('#!/bin/sh\necho "$GARAGE_DEFAULT_ACCESS_KEY $GARAGE_DEFAULT_SECRET_KEY $*"\n')
    garage.chmod(0o755)
    rpc = tmp_path / "rpc"
    said = subprocess.run(
        ["/bin/sh", DEPLOY / "storage" / "serve.sh", tmp_path, rpc],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert said.stdout == "GK0123 4567 server --single-node --default-bucket\n"
    assert re.fullmatch("[0-9a-f]{64}", rpc.read_text())
    assert rpc.stat().st_mode & 0o777 == 0o600, "Garage refuses a secret that others can read"
    configured = tomllib.loads((DEPLOY / "storage" / "garage.toml").read_text())
    assert f'"/run/secrets", "{configured["rpc_secret_file"]}"' in stages()["storage"]


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_the_files_of_monitoring_are_those_of_the_repository(name: str) -> None:
    """Each file is where the program's own configuration looks for it."""
    files = {
        config["target"]: DEPLOY / COMPOSE["configs"][config["source"]]["file"]
        for config in SERVICES[name]["configs"]
    }
    assert all(path.is_file() for path in files.values())
    if name == "prometheus":
        (flag,) = [word for word in SERVICES[name]["command"] if word.startswith("--config.file=")]
        main = flag.removeprefix("--config.file=")
        rules = yaml.safe_load(files[main].read_text())["rule_files"]
        assert files.keys() == {main, *(str(Path(main).parent / rule) for rule in rules)}
        return
    root = "/etc/grafana/provisioning"
    (provider,) = yaml.safe_load(files[f"{root}/dashboards/objectcut.yml"].read_text())["providers"]
    (source,) = yaml.safe_load(files[f"{root}/datasources/prometheus.yml"].read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert set(SERVICES["grafana"]["networks"]) & set(SERVICES["prometheus"]["networks"])
    assert files.keys() == {
        f"{root}/dashboards/objectcut.yml",
        f"{root}/datasources/prometheus.yml",
        f"{provider['options']['path']}/objectcut.json",
    }


def test_prometheus_asks_every_replica() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    asked = {name: dns["port"] for job in jobs for dns in job["dns_sd_configs"] for name in dns["names"]}
    points = yaml.safe_load((ROOT / "traefik" / "traefik.yml").read_text())["entryPoints"]
    operations = int(points["operations"]["address"].rpartition(":")[2])
    assert asked == {"api": 8000, "worker-cpu": 8001, "worker-gpu": 8001, "traefik": operations}
    for name in asked:
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"]), name
