"""The settings of a command: the environment's, with what the command line says before them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.terminal import warn

if TYPE_CHECKING:
    from api.settings import Settings

__all__ = ["DataDir", "load_settings"]

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", file_okay=False, help="Where results and imported models are.")
]


def load_settings(**overrides: Any) -> "Settings":
    """overrides: None is left to the environment. Ends the command, status 2, when they are not usable."""
    from api.settings import SettingsError, load

    try:
        return load(**{name: value for name, value in overrides.items() if value is not None})
    except SettingsError as exc:
        warn(str(exc))
        raise typer.Exit(2) from None
