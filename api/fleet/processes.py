"""Workers as processes of this machine: started with the service, started again when they end."""

import asyncio
import json
import logging
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from api.environment import PREFIX
from api.logs import LogConfig
from api.tracing import TracingConfig
from model.config import EngineConfig

__all__ = ["WorkerProcesses"]

_LOG = logging.getLogger("objectcut.workers")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_PROVEN = 60.0
"""Seconds that a process must have lived for its end to be a first one again."""
COMMAND = (sys.executable, "-m", "api.cli", "worker", "--supervised")


class WorkerProcesses:
    """`count` processes, each on a Unix socket in a directory that only this user can enter.

    A process that ends is started again after a pause that doubles, up to half a minute. Each ends by itself
    when this process does, however it does: its standard input is closed then.
    stop_seconds: given to what they still have to do. command: what is run; a seam for tests.
    """

    def __init__(
        self,
        count: int,
        engine: EngineConfig,
        logs: LogConfig,
        *,
        tracing: TracingConfig | None = None,
        timeout: float = 20.0,
        stop_seconds: float = 30.0,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.token = secrets.token_urlsafe(32)
        self.starts = [0] * count
        """How often each one was started."""
        self._directory = Path(tempfile.gettempdir()) / f"objectcut-{secrets.token_hex(8)}"
        self._sockets = [self._directory / f"{number}.sock" for number in range(count)]
        self._environments = [
            self._environment(number, engine, logs, tracing or TracingConfig(), timeout)
            for number in range(count)
        ]
        self._stop_seconds = stop_seconds
        self._command = command
        self._children: dict[int, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def urls(self) -> tuple[str, ...]:
        """Where they are."""
        return tuple(f"unix:{socket}" for socket in self._sockets)

    @property
    def pids(self) -> list[int]:
        """Of those that run."""
        return [child.pid for child in self._children.values()]

    async def start(self) -> None:
        """Begins to keep them alive; they are ready some seconds later."""
        self._directory.mkdir(mode=0o700)
        self._keepers = [asyncio.create_task(self._keep(number)) for number in range(len(self._sockets))]

    async def close(self) -> None:
        """Ends them and removes their directory."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(self._end(child) for child in self._children.values()))
        self._children.clear()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def _keep(self, number: int) -> None:
        pause = _FIRST_PAUSE
        while True:
            started = time.monotonic()
            try:
                status = await self._run(number)
            except OSError as exc:  # no memory, process or descriptor was left: that passes
                _LOG.error("worker %d could not be started: %s; again in %.1f s", number, exc, pause)
            else:
                if time.monotonic() - started > _PROVEN:
                    pause = _FIRST_PAUSE
                _LOG.error("worker %d has ended with status %d; again in %.1f s", number, status, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _run(self, number: int) -> int:
        """From its start to its end; its exit status. Raises OSError: it cannot be started."""
        self._sockets[number].unlink(missing_ok=True)
        child = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environments[number],
            stdin=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal is for the service alone: it ends its workers when it has finished.
            start_new_session=True,
        )
        self._children[number] = child
        self.starts[number] += 1
        status = await child.wait()
        del self._children[number]
        return status

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            child.terminate()
        try:
            async with asyncio.timeout(self._stop_seconds):
                await child.wait()
        except TimeoutError:
            _LOG.error("worker process %d did not end", child.pid)
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()

    def _environment(
        self, number: int, engine: EngineConfig, logs: LogConfig, tracing: TracingConfig, timeout: float
    ) -> Mapping[str, str]:
        """Its share of the machine, and no secret of the service but the one between the two."""
        count = len(self._sockets)
        device = f"cuda:{number}" if engine.device == "cuda" else engine.device
        named = tracing.model_copy(update={"service_name": f"{tracing.service_name}-worker"})
        share = engine.model_copy(update={"device": device, "cores": max(1, engine.cores // count)})
        own = {
            "WORKER_TOKEN": self.token,
            "SOCKET": str(self._sockets[number]),
            "DRAIN_DELAY": "0",
            "TIMEOUT": str(timeout),
            "ENGINE": json.dumps(share.model_dump(mode="json")),
            "LOGS": logs.model_dump_json(),
            "TRACING": named.model_dump_json(),
        }
        kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
        return kept | {f"{PREFIX}{name}": value for name, value in own.items()}
