"""The service on a Ray cluster of several nodes: the same answers, and none lost with a process or node."""

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from ray import serve

from api.engine import LocalEngine
from model.config import EngineConfig
from tests.deploy.edge import until
from tests.deploy.load import loading
from tests.ray.application import APPLICATION, BYTES, PHOTO, START_SECONDS, Deployed, deployed
from tests.ray.cluster import Nodes, ray_cluster
from tests.service import Served, serving

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

Note = Callable[[str, str], None]

KEY = {"X-Api-Key": "any"}
IN_FLIGHT = 24
FLOAT32 = {"precision": "float32", "cores": 1}
"""One process finds half precision quicker, the next one does not: these must say the same."""


@dataclass
class Place:
    """A cluster, its nodes that can be lost, and the application on it. The ingress is on the head."""

    nodes: Nodes
    workers: list[Any]
    service: Deployed

    def pids(self, deployment: str) -> dict[str, int]:
        """Of its replicas that serve, by the address of their node."""
        details = serve.context._get_global_client().get_serve_details()
        replicas = details["applications"][APPLICATION]["deployments"][deployment]["replicas"]
        return {each["node_ip"]: each["pid"] for each in replicas if each["state"] == "RUNNING"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Starts with one replica; grows to two, one a node."""
    directory = tmp_path_factory.mktemp("ray")
    settings = {
        "OBJECTCUT_ANONYMOUS": "true",
        "OBJECTCUT_DATA_DIR": str(directory / "data"),
        "OBJECTCUT_LIMITS__IN_FLIGHT": str(IN_FLIGHT),
        "OBJECTCUT_PICTURES": "12",
        "OBJECTCUT_ENGINE__PRECISION": "float32",
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    }
    deployments: dict[str, dict[str, Any]] = {
        "ingress": {"ray_actor_options": {"num_cpus": 0.5, "resources": {"front": 1}}},
        "lite": {
            "ray_actor_options": {"num_cpus": 1, "resources": {"back": 1}},
            "health_check_period_s": 1,
            "autoscaling_config": {
                "min_replicas": 1,
                "max_replicas": 2,
                "target_ongoing_requests": 2,
                "upscale_delay_s": 1,
                "downscale_delay_s": 600,
            },
        },
    }
    arguments = {"pools": {"lite": {"models": ["lite"]}}}
    with ray_cluster(1, environment=settings, front=1) as nodes:
        workers = [nodes.add(1, back=1) for _ in range(2)]
        log = directory / "serve.log"
        with deployed(nodes.address, log, arguments=arguments, deployments=deployments) as service:
            yield Place(nodes, workers, service)


@pytest.fixture
async def alone() -> AsyncIterator[Served]:
    """The same service as one process."""
    async with serving(engine=LocalEngine(EngineConfig.model_validate(FLOAT32))) as served:
        yield served


def pixels(png: bytes) -> NDArray[np.int16]:
    """(H, W, 4)."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), np.int16)


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        pytest.param("/v1/cutouts", {"content": PHOTO, "headers": BYTES}, id="our own contract"),
        pytest.param(
            "/v1.0/removebg",
            {"files": {"image_file": PHOTO}, "data": {"size": "auto"}, "headers": KEY},
            id="remove.bg",
        ),
        pytest.param("/v1.0/removebg", {"data": {}, "headers": KEY}, id="remove.bg, no image"),
        pytest.param("/v1/cutouts", {"content": b"no picture"}, id="no picture"),
        pytest.param("/v1/cutouts?model=nope", {"content": PHOTO}, id="no such model"),
        pytest.param("/v1/cutouts?resolution=33", {"content": PHOTO}, id="no such resolution"),
    ],
)
async def test_the_same_answer_as_of_one_process(
    place: Place, alone: Served, path: str, ask: dict[str, Any]
) -> None:
    with place.service.client() as http:
        there = http.post(path, **ask)
    here = await alone.http.post(path, **ask)
    assert there.status_code == here.status_code
    assert there.headers["content-type"] == here.headers["content-type"]
    assert sorted(set(there.headers) - {"server", "date"}) == sorted(here.headers)
    assert there.headers.get_list("x-request-id") == [there.headers["x-request-id"]]
    if there.headers["content-type"] == "image/png":
        # Where the picture is made small by Pillow, not by torch, a level in a thousand differs by one.
        assert np.abs(pixels(there.content) - pixels(here.content)).max() <= 2
    else:
        changes = {"request_id", "id", "url", "expires_at"}
        one, other = there.json(), here.json()
        assert {k: v for k, v in one.items() if k not in changes} == {
            k: v for k, v in other.items() if k not in changes
        }


def test_a_stored_result_comes_back(place: Place) -> None:
    with place.service.client() as http:
        made = http.post("/v1/cutouts", content=PHOTO)
        assert made.status_code == 201, made.text
        path = "/" + made.json()["url"].split("/", 3)[3]
        assert http.get(path).headers["content-type"] == "image/png"


def test_replicas_are_added_while_pictures_wait(place: Place, figure: Note) -> None:
    assert place.service.running("lite") == 1
    started = time.monotonic()
    with loading(10, place.service.cut) as load:
        until(lambda: place.service.running("lite") == 2, START_SECONDS)
    figure("second replica after", f"{time.monotonic() - started:.0f} s")
    assert load.failed() == [], load.errors[:3]
    assert len(load.answers) > 10


def test_nothing_is_lost_with_a_replica(place: Place, figure: Note) -> None:
    until(lambda: place.service.running("lite") == 2, START_SECONDS)
    before = place.pids("lite")
    with loading(8, place.service.cut) as load:
        until(lambda: len(load.answers) >= 20, 60)
        killed = time.monotonic()
        os.kill(next(iter(before.values())), signal.SIGKILL)
        until(lambda: set(place.pids("lite").values()) - set(before.values()), START_SECONDS)
        recovered = time.monotonic() - killed
        enough = len(load.answers) + 10
        until(lambda: len(load.answers) >= enough, 60)
    assert load.failed() == [], load.errors[:3]
    figure("killed replica", f"0 of {len(load.answers)} lost, replaced in {recovered:.0f} s")


def test_nothing_is_lost_with_a_node(place: Place, figure: Note) -> None:
    until(lambda: place.service.running("lite") == 2, START_SECONDS)
    victim = place.workers.pop()
    with loading(8, place.service.cut) as load:
        until(lambda: len(load.answers) >= 20, 60)
        place.nodes.lose(victim)
        until(lambda: place.service.running("lite") == 1, START_SECONDS)
        killed = time.monotonic()
        place.workers.append(place.nodes.add(1, back=1))
        until(lambda: place.service.running("lite") == 2, START_SECONDS)
        recovered = time.monotonic() - killed
    assert load.failed() == [], load.errors[:3]
    figure("lost node", f"0 of {len(load.answers)} lost, a new node serves after {recovered:.0f} s")


def test_what_is_too_much_is_refused_in_the_contract(place: Place, figure: Note) -> None:
    refused: list[httpx.Response] = []

    def ask() -> httpx.Response:
        answer = place.service.cut()
        if answer.status_code != httpx.codes.OK:
            refused.append(answer)
            time.sleep(0.2)
        return answer

    with loading(3 * IN_FLIGHT, ask) as load:
        time.sleep(15)
    assert {status for _, _, status in load.answers} == {200, 429}, {
        each.text for each in refused if each.status_code != 429
    }
    for answer in refused:
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "overloaded"
    done = len(load.answers) - len(refused)
    figure("overload", f"{done} served, {len(refused)} refused by 429, nothing else")
    until(lambda: place.service.cut().status_code == httpx.codes.OK, 30)
