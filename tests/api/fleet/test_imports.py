"""What each side of a fleet is free of: the service of torch, the worker of codecs and HTTP clients."""

import json
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path(__file__).parents[3] / "deploy" / "requirements"

REFUSING = """
import asyncio, json, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)

absent = set(json.loads(sys.argv[2]))
sys.meta_path.insert(0, Refuse())
import api.cli
"""

SERVICE = """
from api.app import create_app
from api.settings import load

urls = {"urls": ["http://127.0.0.1:9"]}
app = create_app(load(anonymous=True, worker_token="x" * 16, workers=urls, data_dir=sys.argv[1]))

async def run():
    async with app.router.lifespan_context(app):
        print(app.state.service.readiness()["ready"])

asyncio.run(run())
"""

WORKER = """
from api.fleet.settings import WorkerSettings
from api.fleet.worker import create_worker, server_for

settings = WorkerSettings(worker_token="x" * 16, data_dir=sys.argv[1])
app = create_worker(settings)
server_for(app, settings)

async def run():
    async with app.router.lifespan_context(app):
        print(app.state.service.readiness()["ready"])

asyncio.run(run())
"""


def absent(file: str, also: tuple[str, ...] = ()) -> list[str]:
    """Modules that are installed here, and are not where these requirements alone are."""
    lines = (REQUIREMENTS / file).read_text().splitlines()
    wanted = {Requirement(line).name for line in lines if line and not line.startswith("#")} | set(also)
    there = {"objectcut", "setuptools"}
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name not in there:
            there.add(name)
            with suppress(PackageNotFoundError):  # what another system wants
                needed = map(Requirement, distribution(name).requires or [])
                wanted |= {
                    each.name for each in needed if not each.marker or each.marker.evaluate({"extra": ""})
                }
    return sorted(
        module
        for module, names in packages_distributions().items()
        if not there & {canonicalize_name(name) for name in names}
    )


@pytest.mark.parametrize(
    ("script", "missing", "unwanted", "printed"),
    [
        pytest.param(
            SERVICE,
            absent("api.txt"),
            {"torch", "safetensors", "openvino"},
            "False",
            id="a service, no torch",
        ),
        pytest.param(
            WORKER,
            absent("worker.txt", also=("openvino",)),
            {"PIL", "cv2", "httpx", "httpcore", "huggingface_hub"},
            "True",
            id="a worker, no codecs and clients",
        ),
    ],
)
def test_each_side_runs_with_what_its_image_has(
    script: str, missing: list[str], unwanted: set[str], printed: str, tmp_path: Path
) -> None:
    assert unwanted <= set(missing)
    command = [sys.executable, "-c", REFUSING + script, str(tmp_path), json.dumps(missing)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ran.stdout.splitlines() == [printed], ran.stderr
