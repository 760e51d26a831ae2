"""What the images install: the project's own requirements, pinned, and no more than each of them needs."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.deploy.test_containers import DEPLOY, ROOT, stages

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


def test_the_service_needs_everything_but_what_infers() -> None:
    unused = {"torch", "openvino", "safetensors", "huggingface_hub"}
    assert names("api.txt") == declared(*SHARED).keys() - unused


def test_a_worker_needs_no_codec_and_no_client_but_for_traces() -> None:
    worker = names("worker.txt")
    assert worker - declared().keys() == declared("otel").keys() - declared().keys()
    assert not worker & {"pillow", "opencv-python-headless", "httpx", "httpcore", "google-cloud-storage"}


@pytest.mark.parametrize("file", ["api.txt", "worker.txt"])
def test_requirements_are_the_projects_own(file: str) -> None:
    for line in (DEPLOY / "requirements" / file).read_text().splitlines():
        if line and not line.startswith("#"):
            assert Requirement(line) == declared(*SHARED)[Requirement(line).name]


@pytest.mark.parametrize("stage", ["build-worker-cpu", "build-all-in-one"])
def test_images_for_cpus_have_openvino(stage: str) -> None:
    (version,) = re.findall(r'"openvino==([\d.]+)"', stages()[stage])
    assert declared()["openvino"].specifier.contains(version)
    assert f"openvino=={version}\n" in (DEPLOY / "requirements" / "constraints.txt").read_text()


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    lines = (DEPLOY / "requirements" / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    for name in names("api.txt") | names("worker.txt") | {"huggingface_hub"}:
        pinned = pins[name.replace("_", "-").lower()]
        assert declared(*SHARED)[name].specifier.contains(pinned), name
