"""objectcut: the command line. Commands import what is heavy (torch, FastAPI, OpenCV) when they run."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from api.commands.bucket import bucket
from api.commands.bulk import bulk
from api.commands.cut import cut
from api.commands.doctor import doctor
from api.commands.evaluate import evaluate
from api.commands.health import health
from api.commands.keys import keys
from api.commands.models import models
from api.commands.paste_server import paste_server
from api.commands.propose import propose
from api.commands.serve import serve
from api.commands.terminal import told, warn
from api.commands.train import train
from api.commands.validate import validate
from api.commands.worker import worker
from api.errors import ObjectCutError

__all__ = ["app", "main"]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"objectcut {version('objectcut')}")
        raise typer.Exit


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def objectcut(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """Finds the subject of a photo and cuts it out."""


_COMMANDS = (
    cut,
    bulk,
    serve,
    worker,
    paste_server,
    train,
    propose,
    evaluate,
    validate,
    doctor,
    health,
    bucket,
)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(models, name="models")
app.add_typer(keys, name="keys")


def main() -> None:
    """The entry point of the command `objectcut`."""
    try:
        app()
    except ObjectCutError as exc:
        warn(told(exc))
        sys.exit(1)


if __name__ == "__main__":
    main()
