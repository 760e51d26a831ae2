"""objectcut models: which networks there are, and bringing in the weights of those that are not shipped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.configuration import DataDir, load_settings
from api.commands.terminal import warn

if TYPE_CHECKING:
    from model.registry import ModelSpec

models = typer.Typer(invoke_without_command=True)


@models.callback()
def list_models(context: typer.Context, data_dir: DataDir = None) -> None:
    """Lists the models, their weights loaded and verified."""
    if context.invoked_subcommand:
        return
    from rich.console import Console
    from rich.table import Table

    from model.registry import REGISTRY

    folder = load_settings(data_dir=data_dir).engine.model_dir
    table = Table("model", "available", "side", "parameters", "licence", "sha256", "paper", box=None)
    missing = []
    for spec in REGISTRY.values():
        parameters, sha256, reason = _weights(spec, folder)
        if reason:
            missing.append(reason)
        facts = (str(spec.side), parameters, spec.licence, sha256, spec.paper)
        table.add_row(spec.name, "no" if reason else "yes", *facts)
    console = Console()
    console.print(table)
    for reason in missing:
        console.print(f"\n{reason}", markup=False, highlight=False)


@models.command("import")
def import_model(
    name: Annotated[str, typer.Argument(help="One of `objectcut models`.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its .pth or .safetensors.")],
    data_dir: DataDir = None,
) -> None:
    """Verifies a published checkpoint and keeps it as safetensors, pinned by its sha256."""
    from model.errors import ModelUnavailable
    from model.registry import REGISTRY
    from model.weights import import_weights

    spec = REGISTRY.get(name)
    if spec is None:
        raise typer.BadParameter(f"no such model; there are {', '.join(REGISTRY)}", param_hint="NAME")
    if spec.weights.shipped:
        raise typer.BadParameter(f"the weights of {name} come with objectcut", param_hint="NAME")
    try:
        path = import_weights(file, spec, load_settings(data_dir=data_dir).engine.model_dir)
    except ModelUnavailable as exc:
        warn(str(exc))
        raise typer.Exit(1) from None
    typer.echo(path)


def _weights(spec: "ModelSpec", folder: Path) -> tuple[str, str, str | None]:
    """Parameters and sha256 for people, and the reason why there are none."""
    from model.errors import ModelUnavailable
    from model.weights import load

    try:
        checkpoint = load(spec, folder)
    except ModelUnavailable as exc:
        return "–", "–", str(exc)
    parameters = sum(parameter.numel() for parameter in checkpoint.net.parameters())
    return f"{parameters / 1e6:.1f} M", checkpoint.sha256[:12], None
