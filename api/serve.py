"""Runs the service under uvicorn: logs set up, and a stop that no request notices."""

import math
import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api import logs
from api.app import Service, create_app
from api.settings import Settings

DEVICE_LOST = 70
"""Exit status that asks a supervisor for a fresh process (EX_SOFTWARE)."""


class GracefulServer(uvicorn.Server):
    """SIGTERM: /readyz turns 503 at once, and only `drain_delay` later no more connections are accepted.

    By then whoever balances the load has noticed. SIGINT, from a terminal, does not wait. What is in flight
    is finished, and the exit status is 0. A second signal ends everything at once.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._stop_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Called by the signals; touches flags only, as it may interrupt anything."""
        if self._service.draining:
            self.should_exit = self.force_exit = True
        self._service.draining = True
        delay = 0.0 if sig == signal.SIGINT else self._service.settings.drain_delay
        self._stop_at = time.monotonic() + delay

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to stop."""
        stop = await super().on_tick(counter)
        late = self._stop_at is not None and time.monotonic() >= self._stop_at
        return stop or late or self._service.lost is not None


def serve(settings: Settings) -> int:
    """Serves until told to stop; the exit status. Raises SettingsError."""
    logs.configure(settings.logs)
    return run(create_app(settings))


def run(app: FastAPI) -> int:
    """Serves an app that create_app made; the exit status."""
    server_for(app).run()
    return DEVICE_LOST if app.state.service.lost else 0


def server_for(app: FastAPI) -> GracefulServer:
    """The server of an app that create_app made."""
    service: Service = app.state.service
    settings = service.settings
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(settings.limits.timeout + settings.limits.send_timeout),
    )
    return GracefulServer(config, service)
