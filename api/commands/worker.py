"""objectcut worker: inference for services that run elsewhere."""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from api.commands.configuration import DataDir
from api.commands.terminal import warn


def worker(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    socket: Annotated[Path | None, typer.Option(help="Unix socket to listen on instead.")] = None,
    data_dir: DataDir = None,
    supervised: Annotated[
        bool, typer.Option("--supervised", help="Ends when its standard input does, as its parent has.")
    ] = False,
) -> None:
    """Infers for `objectcut serve --engine` until SIGTERM or Ctrl-C, on a network that no stranger reaches.

    Every other setting is an OBJECTCUT_… variable; OBJECTCUT_WORKER_TOKEN must be set.
    """
    from api.environment import SettingsError, load
    from api.fleet.settings import WorkerSettings
    from api.fleet.worker import serve as run

    named = {"port": port, "host": host, "socket": socket, "data_dir": data_dir}
    if supervised:
        threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    try:
        settings = load(WorkerSettings, **{name: value for name, value in named.items() if value is not None})
        status = run(settings)
    except SettingsError as exc:
        warn(str(exc))
        raise typer.Exit(2) from None
    raise typer.Exit(status)


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.buffer, whose lock a thread must not die with
        pass
    os.kill(os.getpid(), signal.SIGTERM)
