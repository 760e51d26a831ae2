"""A worker as a process of its own, whose device only takes its time.

    python -m tests.deploy.small_worker PORT SECONDS NAME

Everything but the network is real. One picture at a time, SECONDS each, as on a small GPU; it needs no torch
and starts in a second.
"""

import asyncio
import sys
from typing import Any

import numpy as np

from api import catalogue
from api.fleet.settings import WorkerSettings
from api.fleet.worker import create_worker, server_for
from api.types import Deadline
from model.registry import REGISTRY
from postprocess.types import RGB, Alpha

MODELS = ("lite", "basnet")
TOKEN = "a-token-that-nobody-guesses"


class TimelyEngine:
    """Finds everything to be the subject, after a while."""

    def __init__(self, seconds: float, name: str) -> None:
        self._seconds = seconds
        self._name = name
        self._device = asyncio.Lock()
        self.waiting = 0

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def status(self) -> dict[str, Any]:
        facts = {"resident": True, "warm": True, "device": self._name}
        return {"ready": True, "models": dict.fromkeys(MODELS, facts)}

    def models(self) -> list[dict[str, Any]]:
        return catalogue.described(REGISTRY, MODELS.__contains__)

    async def matte(
        self,
        rgb: RGB,
        *,
        model: str,
        resolution: int | None = None,
        deadline: Deadline,
        alone: bool = False,
    ) -> Alpha:
        self.waiting += 1
        try:
            async with asyncio.timeout(deadline.remaining()), self._device:
                await asyncio.sleep(self._seconds)
        finally:
            self.waiting -= 1
        return np.ones(rgb.shape[:2], np.float32)


def main() -> int:
    """The process."""
    port, seconds, name = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    settings = WorkerSettings.model_validate({"port": port, "worker_token": TOKEN, "drain_delay": 4.0})
    app = create_worker(settings, engine=TimelyEngine(seconds, name))
    return server_for(app, settings).run_until_stopped()


if __name__ == "__main__":
    sys.exit(main())
