"""Two models on one cluster, each with replicas of its own."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from model.registry import REGISTRY
from model.weights import store
from tests.deploy.edge import until
from tests.ray.application import START_SECONDS, Deployed, deployed
from tests.ray.cluster import ray_cluster

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_a_pool_that_is_down_takes_no_others_models_with_it(tmp_path: Path) -> None:
    basnet = REGISTRY["basnet"]
    store(basnet, basnet.build().state_dict(), tmp_path / "models")  # arbitrary, which serves here
    settings = {
        "OBJECTCUT_ANONYMOUS": "true",
        "OBJECTCUT_DATA_DIR": str(tmp_path),
        "OBJECTCUT_ENGINE__PRECISION": "float32",
    }
    arguments = {"pools": {"lite": {"models": ["lite"]}, "heavy": {"models": ["basnet"]}}}
    deployments: dict[str, dict[str, Any]] = {
        "ingress": {"ray_actor_options": {"num_cpus": 0.1}},
        "lite": {"ray_actor_options": {"num_cpus": 0.1}},
        "heavy": {"ray_actor_options": {"num_cpus": 1, "resources": {"card": 0.5}}},
    }
    with ray_cluster(1, environment=settings) as nodes:
        node = nodes.add(1, card=1)
        log = tmp_path / "serve.log"
        with deployed(nodes.address, log, arguments=arguments, deployments=deployments) as service:
            until(lambda: available(service) == {"lite", "basnet"}, START_SECONDS)
            for model in ("lite", "basnet"):
                answer = service.cut(model=model, refine="false")
                assert answer.status_code in (200, 422), answer.text  # of arbitrary weights: no subject
                assert answer.headers.get("x-cutout-model", model) == model
            nodes.lose(node)
            until(lambda: available(service) == {"lite"}, START_SECONDS)
            assert service.cut(model="lite").status_code == httpx.codes.OK
            refused = service.cut(model="basnet")
            assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert int(refused.headers["retry-after"]) >= 1
            nodes.add(1, card=1)
            until(lambda: available(service) == {"lite", "basnet"}, START_SECONDS)


def available(service: Deployed) -> set[str]:
    """Models that requests may name now."""
    with service.client() as http:
        return {each["name"] for each in http.get("/v1/models").json()["models"] if each["available"]}
