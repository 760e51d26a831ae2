"""CutoutOptions as options of a command."""

from typing import Any

import typer
from typer.main import get_command
from typer.testing import CliRunner

from api.commands.options import cutout_options, takes_cutout_options
from api.options import CutoutOptions


def parsed(*arguments: str) -> CutoutOptions:
    """What a command with these arguments gets."""
    got: list[CutoutOptions] = []
    app = typer.Typer()

    @app.command()
    @takes_cutout_options
    def command(**chosen: Any) -> None:
        got.append(cutout_options(chosen))

    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return got[0]


def test_defaults_are_the_models() -> None:
    assert parsed() == CutoutOptions()


def test_every_option_can_be_given() -> None:
    given = CutoutOptions(
        model="basnet",
        resolution=512,
        output="alpha",
        to_remove="foreground",
        edges="sharp",
        sharp_sigma=2.5,
        sharp_amount=3,
        refine=False,
        decontaminate=False,
        morphology=("open", "keep_largest", "open"),
        radius=7,
        source_alpha="ignore",
        background="#123456",
        blur=0.1,
        crop=True,
        crop_margin=12,
        format="webp",
        quality=55,
    )
    assert not set(CutoutOptions.model_fields) - given.model_fields_set, "an option is missing from this test"
    arguments: list[str] = []
    for name, value in given:
        option = name.replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{option}" if value else f"--no-{option}")
        else:
            for one in value if isinstance(value, tuple) else (value,):
                arguments += [f"--{option}", str(one)]
    assert parsed(*arguments) == given


def test_help_is_the_models_description() -> None:
    app = typer.Typer()

    @app.command()
    @takes_cutout_options
    def command(**chosen: Any) -> None:
        raise AssertionError(chosen)

    helps = {parameter.name: getattr(parameter, "help", None) for parameter in get_command(app).params}
    for name, field in CutoutOptions.model_fields.items():
        assert helps[name] == field.description
        assert field.description
