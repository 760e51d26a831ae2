"""What each side of a fleet is free of: the service of torch, the worker of codecs and HTTP clients."""

import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """
import asyncio, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "safetensors", "triton", "openvino"):
            raise ImportError(f"{name} is not in the image of the service")

sys.meta_path.insert(0, Refuse())
from api.app import create_app
from api.settings import load
import api.cli

urls = {"urls": ["http://127.0.0.1:9"]}
app = create_app(load(anonymous=True, worker_token="x" * 16, workers=urls, data_dir=sys.argv[1]))

async def run():
    async with app.router.lifespan_context(app):
        print(app.state.service.readiness()["ready"])

asyncio.run(run())
"""

WORKER = """
import asyncio, sys
from api.fleet.settings import WorkerSettings
from api.fleet.worker import create_worker, server_for

settings = WorkerSettings(worker_token="x" * 16, data_dir=sys.argv[1])
app = create_worker(settings)
server_for(app, settings)

async def run():
    async with app.router.lifespan_context(app):
        print(app.state.service.readiness()["ready"])

asyncio.run(run())
unwanted = {"PIL", "cv2", "httpx", "httpcore", "requests", "urllib3", "huggingface_hub", "google.cloud"}
print(sorted(unwanted & set(sys.modules)))
"""


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        pytest.param(SERVICE, ["False"], id="a service without torch"),
        pytest.param(WORKER, ["True", "[]"], id="a worker without codecs and clients"),
    ],
)
def test_what_is_not_imported(script: str, printed: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", script, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert ran.stdout.splitlines() == printed, ran.stderr
