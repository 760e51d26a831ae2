"""The configuration of Ray Serve and KubeRay's manifest: what can be said of them without Ray."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from api.settings import Settings, variables
from model.config import EngineConfig
from model.registry import REGISTRY

ROOT = Path(__file__).parents[2] / "deploy" / "ray"
SERVE = yaml.safe_load((ROOT / "serve.yaml").read_text())
VARIABLES, SERVICE = yaml.safe_load_all((ROOT / "rayservice.yaml").read_text())
CLUSTER = SERVICE["spec"]["rayClusterConfig"]
GROUPS = {group["groupName"]: group for group in CLUSTER["workerGroupSpecs"]}
PODS = {"head": CLUSTER["headGroupSpec"]["template"]["spec"]} | {
    name: group["template"]["spec"] for name, group in GROUPS.items()
}

Document = dict[str, Any]


@pytest.fixture(params=["serve.yaml", "rayservice.yaml"])
def application(request: pytest.FixtureRequest) -> Document:
    embedded = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])
    config = SERVE if request.param == "serve.yaml" else embedded
    (found,) = config["applications"]
    assert config["http_options"]["request_timeout_s"] > 50, "the service's own time is the one that counts"
    return dict(found)


def test_deployments_are_the_ingress_and_the_pools(application: Document) -> None:
    names = [options["name"] for options in application["deployments"]]
    assert names == ["ingress", *application["args"]["pools"]]


def test_pools_have_models_and_settings_that_there_are(application: Document) -> None:
    for pool in application["args"]["pools"].values():
        assert set(pool["models"]) <= set(REGISTRY)
        EngineConfig.model_validate(pool.get("engine", {}))


def test_weights_that_do_not_ship_are_pulled_first() -> None:
    """By the pods with GPUs, where alone the pools are placed that have such models."""
    (application,) = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])["applications"]
    options = {each["name"]: each["ray_actor_options"] for each in application["deployments"]}
    pools = application["args"]["pools"]
    brought = {
        name: {model for model in pool["models"] if not REGISTRY[model].weights.shipped}
        for name, pool in pools.items()
    }
    assert all(options[name].get("num_gpus") for name, models in brought.items() if models)
    (pulling,) = PODS["gpu"]["initContainers"]
    (using,) = PODS["gpu"]["containers"]
    assert pulling["command"] == ["objectcut", "models", "pull", *sorted(set().union(*brought.values()))]
    for same in ("image", "envFrom", "volumeMounts", "securityContext"):
        assert pulling[same] == using[same]


def test_no_more_ingresses_than_they_are_told_of(application: Document) -> None:
    (ingress,) = (options for options in application["deployments"] if options["name"] == "ingress")
    scaling = ingress.get("autoscaling_config", {"max_replicas": ingress.get("num_replicas")})
    assert scaling["max_replicas"] == application["args"]["ingresses"]


def test_variables_are_settings() -> None:
    known = {name for name, _ in variables(Settings)}
    given = {*VARIABLES["data"], *(each["name"] for each in PODS["cpu"]["containers"][0]["env"])}
    assert {name for name in given if not name.startswith("RAY_SERVE_")} <= known


@pytest.mark.parametrize("name", PODS)
def test_pods_are_sound_by_the_schema(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": PODS[name]}
    kubernetes_validate.validate(pod, "1.33", strict=True)
    kubernetes_validate.validate(VARIABLES, "1.33", strict=True)
    assert PODS[name]["securityContext"]["runAsNonRoot"] is True
    assert PODS[name]["enableServiceLinks"] is False
    assert PODS[name]["automountServiceAccountToken"] is (name == "head")


def test_the_largest_replicas_fit_a_node() -> None:
    (application,) = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])["applications"]
    wanted = {options["name"]: options["ray_actor_options"] for options in application["deployments"]}
    (gpu,) = GROUPS["gpu"]["template"]["spec"]["containers"]
    assert wanted["heavy"]["num_gpus"] <= int(gpu["resources"]["limits"]["nvidia.com/gpu"])
    (cpu,) = GROUPS["cpu"]["template"]["spec"]["containers"]
    assert max(options["num_cpus"] for options in wanted.values()) <= int(cpu["resources"]["requests"]["cpu"])
