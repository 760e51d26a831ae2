"""Runs the service under uvicorn: logs set up, and a stop that no request notices."""

import math

import uvicorn
from fastapi import FastAPI

from api import logs
from api.app import Service, create_app
from api.graceful import DEVICE_LOST, GracefulServer
from api.settings import Settings

__all__ = ["DEVICE_LOST", "GracefulServer", "run", "serve", "server_for"]


def serve(settings: Settings) -> int:
    """Serves until told to stop; the exit status. Raises SettingsError."""
    logs.configure(settings.logs)
    return run(create_app(settings))


def run(app: FastAPI) -> int:
    """Serves an app that create_app made; the exit status."""
    return server_for(app).run_until_stopped()


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
        # Pinned, or another package's dependency would choose it: httptools takes headers of any size.
        http="h11",
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=math.ceil(settings.limits.timeout + settings.limits.send_timeout),
    )
    return GracefulServer(config, service, settings.drain_delay)
