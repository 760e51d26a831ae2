"""objectcut health: what a container's health check runs, where there is no curl."""

from http.client import HTTPConnection, HTTPException
from typing import Annotated

import typer

from api.commands.terminal import warn

_SECONDS = 3.0


def health(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the service or worker.")] = 8000,
    host: Annotated[str, typer.Option(help="Its address.")] = "127.0.0.1",
    path: Annotated[str, typer.Option(help="/readyz, or /healthz for whether it lives at all.")] = "/readyz",
) -> None:
    """Ends with status 0 when a service or worker on this machine is ready, else with 1."""
    connection = HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as exc:
        warn(f"{host}:{port} does not answer: {exc}")
        raise typer.Exit(1) from None
    finally:
        connection.close()
    if status != 200:
        warn(f"{path} answers {status}")
        raise typer.Exit(1)
