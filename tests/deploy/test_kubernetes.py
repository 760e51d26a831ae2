"""The manifests: sound by Kubernetes' own schemas, confined, and in step with the service's settings."""

import asyncio
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel

from api.environment import load as load_environment
from api.fleet.settings import WorkerSettings
from api.settings import Settings, load, variables
from model.registry import REGISTRY
from tests.deploy.test_monitoring import samples

ROOT = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.33"
RAW = [
    document
    for folder in ("base", "components")
    for path in sorted((ROOT / folder).rglob("*.yaml"))
    if path.name != "kustomization.yaml" and not path.stem.endswith("-patch")
    for document in yaml.safe_load_all(path.read_text())
]
OVERLAYS = sorted(path.name for path in (ROOT / "overlays").iterdir())
DEPLOYMENTS = [document for document in RAW if document["kind"] == "Deployment"]
SETTINGS: dict[str, type[BaseModel]] = {"objectcut-api": Settings, "objectcut-worker": WorkerSettings}

Document = dict[str, Any]


def name_of(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_of(document: Document) -> Document:
    pod: Document = document["spec"]["template"]["spec"]
    return pod


def environment(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


@pytest.fixture(scope="module", params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> list[Document]:
    """All that an overlay makes."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / "overlays" / request.param)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("document", RAW, ids=name_of)
def test_is_sound_by_the_schema(document: Document) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_every_overlay_is_sound_by_the_schema(rendered: list[Document]) -> None:
    for document in rendered:
        kubernetes_validate.validate(document, VERSION, strict=True)
    assert {document["metadata"].get("namespace", "objectcut") for document in rendered} == {"objectcut"}


def test_a_mistake_is_found_by_the_schema() -> None:
    broken = yaml.safe_load(yaml.safe_dump(DEPLOYMENTS[0]))
    pod_of(broken)["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSION, strict=True)


@pytest.mark.parametrize("document", DEPLOYMENTS, ids=name_of)
def test_pods_are_confined(document: Document) -> None:
    pod = pod_of(document)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert all("hostPath" not in volume for volume in pod["volumes"])
    assert all("sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""}) for volume in pod["volumes"])
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert re.fullmatch(r"[a-z-]+:\d+\.\d+\.\d+", container["image"])
        assert "memory" in container["resources"]["limits"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()


@pytest.mark.parametrize("document", DEPLOYMENTS, ids=name_of)
def test_names_of_services_make_no_variables(document: Document) -> None:
    """A Service objectcut-api would make OBJECTCUT_API_PORT, which the settings would refuse."""
    assert pod_of(document)["enableServiceLinks"] is False


@pytest.mark.parametrize("document", DEPLOYMENTS, ids=name_of)
def test_probes(document: Document) -> None:
    (container,) = pod_of(document)["containers"]
    ports = {port["name"] for port in container["ports"]}
    for probe, path in {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}.items():
        asked = container[f"{probe}Probe"]["httpGet"]
        assert asked["path"] == path
        assert asked["port"] in ports
    readiness = container["readinessProbe"]
    seconds = readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    assert seconds < load(anonymous=True).drain_delay, "noticed while the pod still accepts"


def test_pods_have_time_to_finish() -> None:
    settings = load(anonymous=True)
    patience = {
        "objectcut-api": settings.drain_delay
        + math.ceil(settings.limits.timeout + settings.limits.send_timeout)
        + settings.engine.drain_timeout / 2,
        "objectcut-worker": settings.drain_delay + 2 * settings.limits.timeout,
    }
    given = {
        document["metadata"]["name"]: pod_of(document)["terminationGracePeriodSeconds"]
        for document in DEPLOYMENTS
    }
    assert {name: given[name] >= seconds for name, seconds in patience.items()} == dict.fromkeys(given, True)


def test_the_service_starts_with_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(ROOT / "base" / "api.env").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OBJECTCUT_SECRET_ACCESS", "s" * 32)
    settings = load()
    assert settings.store.kind == "s3", "pods share no folder"
    assert settings.access() == "s" * 32


def test_volumes_hold_what_is_written_there() -> None:
    network = 1.13e6 * max(spec.weights.megabytes or 0 for spec in REGISTRY.values())  # OpenVINO's own file
    for document in DEPLOYMENTS:
        pod = pod_of(document)
        sizes = {volume["name"]: size_of(volume["emptyDir"]["sizeLimit"]) for volume in pod["volumes"]}
        assert sizes["tmp"] > network
        (container,) = pod["containers"]
        assert size_of(container["resources"]["limits"]["ephemeral-storage"]) > sum(sizes.values())
        if document["metadata"]["name"] == "objectcut-api":
            given = environment(ROOT / "base" / "api.env")
            kept = sum(int(given[f"OBJECTCUT_JOBS__{name}_BYTES"]) for name in ("QUEUED", "ANSWERS"))
            assert 2 * kept < sizes["data"], "SQLite's journal has the same once more"


def size_of(quantity: str) -> int:
    return int(quantity[:-2]) << {"Mi": 20, "Gi": 30}[quantity[-2:]]


def test_the_pod_for_jobs_is_one_and_keeps_its_volume(tmp_path: Path) -> None:
    """The patches of docs/KUBERNETES.md."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    page = (ROOT.parents[1] / "docs" / "KUBERNETES.md").read_text()
    (patches,) = re.findall(r"^```yaml\n(patches:.*?)^```", page, re.MULTILINE | re.DOTALL)
    shutil.copytree(ROOT / "base", tmp_path / "base")
    file = tmp_path / "kustomization.yaml"
    file.write_text(
        f"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [base]\n{patches}"
    )
    done = subprocess.run(
        [kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    made = {document["kind"]: document for document in yaml.safe_load_all(done.stdout)}
    for document in made.values():
        kubernetes_validate.validate(document, VERSION, strict=True)
    scale = made["HorizontalPodAutoscaler"]["spec"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == (1, 1)
    assert made["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    volumes = {volume["name"]: volume for volume in pod_of(made["Deployment"])["volumes"]}
    assert "emptyDir" in volumes["tmp"]
    assert "persistentVolumeClaim" in volumes["data"]


def test_the_worker_starts_with_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(ROOT / "components" / "workers" / "worker.env").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OBJECTCUT_WORKER_TOKEN", "t" * 32)
    settings = load_environment(WorkerSettings)
    assert (settings.token(), settings.port) == ("t" * 32, 8001)


def test_every_variable_is_a_setting(rendered: list[Document]) -> None:
    for document in rendered:
        names = [name for name in SETTINGS if document["metadata"]["name"].startswith(name)]
        known = {variable for name in names for variable, _ in variables(SETTINGS[name])}
        if document["kind"] == "ConfigMap":
            assert document["data"].keys() <= known
        if document["kind"] == "Deployment":
            (container,) = pod_of(document)["containers"]
            assert {variable["name"] for variable in container.get("env", ())} <= known


@pytest.mark.parametrize(
    "document",
    [document for document in RAW if document["kind"] not in {"Namespace", "ServiceAccount", "Deployment"}],
    ids=name_of,
)
def test_selects_pods_that_there_are(document: Document) -> None:
    spec = document["spec"]
    labels = {name_of(found): found["spec"]["template"]["metadata"]["labels"] for found in DEPLOYMENTS}
    if document["kind"] == "HorizontalPodAutoscaler":
        target = spec["scaleTargetRef"]
        assert f"{target['kind']}/{target['name']}" in labels
        assert "replicas" not in next(
            found for found in DEPLOYMENTS if found["metadata"]["name"] == target["name"]
        ).get("spec", {})
        return
    selector = spec.get("podSelector", spec.get("selector"))
    assert selector.get("matchLabels", selector) in labels.values()


@pytest.mark.parametrize("document", DEPLOYMENTS, ids=name_of)
def test_every_deployment_has_what_keeps_it(document: Document) -> None:
    name = document["metadata"]["name"]
    kinds = {found["kind"] for found in RAW if found["metadata"]["name"] == name}
    assert {"PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler", "Service"} <= kinds


def test_workers_have_no_way_out() -> None:
    policies = {
        document["metadata"]["name"]: document for document in RAW if document["kind"] == "NetworkPolicy"
    }
    worker = policies["objectcut-worker"]["spec"]
    assert worker["egress"] == []
    assert "Egress" in worker["policyTypes"]
    (internet,) = (
        peer["ipBlock"]
        for rule in policies["objectcut-api"]["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    )
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(internet["except"])


def test_queues_are_of_those_who_infer(rendered: list[Document]) -> None:
    """Where workers infer, pictures on their way to them ask for no more of the service."""
    scales = {
        each["metadata"]["name"]: each for each in rendered if each["kind"] == "HorizontalPodAutoscaler"
    }
    queues = {
        name
        for name, scale in scales.items()
        for metric in scale["spec"]["metrics"]
        if metric.get("pods", {}).get("metric") == {"name": "objectcut_queue_depth"}
    }
    assert queues == (scales.keys() - {"objectcut-api"} or {"objectcut-api"})


def test_autoscalers_ask_for_metrics_that_exist(rendered: list[Document]) -> None:
    exposed = asyncio.run(samples())
    (rule,) = yaml.safe_load((ROOT / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    adapted = re.search(r'__name__=~"([^"]*)"', rule["seriesQuery"])
    assert adapted
    for document in rendered:
        if document["kind"] == "HorizontalPodAutoscaler":
            for metric in document["spec"]["metrics"]:
                if metric["type"] == "Pods":
                    name = metric["pods"]["metric"]["name"]
                    assert name in exposed
                    assert re.fullmatch(adapted[1], name)
