"""CutoutOptions as options of a command: generated from the model, so that nothing is written twice."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from api.options import CutoutOptions

__all__ = ["BackgroundImage", "cutout_options", "takes_cutout_options"]

PANEL = "The cutout"

BackgroundImage = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="A picture to put behind the subject.")
]
"""An option of commands that the API has as a second picture."""


def takes_cutout_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command whose last parameter is `**chosen: Any` one option for each of CutoutOptions."""
    own = [
        parameter
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    parameters = own + [_parameter(name, field) for name, field in CutoutOptions.model_fields.items()]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def cutout_options(chosen: Mapping[str, Any], background_image: Path | None = None) -> CutoutOptions:
    """The options that the command line named. Raises typer.BadParameter, naming the first bad one.

    background_image: what goes behind the subject, in place of --background.
    """
    named = {name: value for name, value in chosen.items() if value is not None}
    try:
        options = CutoutOptions.model_validate(named)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        hint = f"--{str(first['loc'][0]).replace('_', '-')}" if first["loc"] else None
        raise typer.BadParameter(first["msg"], param_hint=hint) from None
    if background_image and options.background:
        raise typer.BadParameter("not together with --background", param_hint="--background-image")
    return options


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    kind: Any = field.annotation
    default = field.get_default()
    choices = None
    if get_origin(kind) is tuple:  # a list of one Literal's words: given by repeating the option
        choices = "|".join(get_args(get_args(kind)[0]))
        kind, default = list[str] | None, None
    option = typer.Option(help=field.description, metavar=choices, rich_help_panel=PANEL)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
    )
