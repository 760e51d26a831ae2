"""objectcut serve: the HTTP service."""

from typing import Annotated

import typer

from api.commands.configuration import DataDir, load_settings
from api.commands.terminal import warn


def serve(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    data_dir: DataDir = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Serve everybody, without a key.")] = False,
    engine: Annotated[
        str | None,
        typer.Option(metavar="URL[,URL]", help="Workers that infer, instead of this process; no torch here."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, max=64, help="Workers to start, and keep alive, on this machine.")
    ] = None,
) -> None:
    """Serves HTTP until SIGTERM or Ctrl-C. Every other setting is an OBJECTCUT_… variable."""
    fleet = {"urls": engine.split(",") if engine else None, "count": workers}
    settings = load_settings(
        port=port,
        host=host,
        data_dir=data_dir,
        anonymous=anonymous or None,
        workers={name: value for name, value in fleet.items() if value is not None} or None,
    )
    from api.serve import serve as run
    from api.settings import SettingsError

    try:
        status = run(settings)
    except SettingsError as exc:
        warn(str(exc))
        raise typer.Exit(2) from None
    raise typer.Exit(status)
