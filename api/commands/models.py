"""objectcut models: which networks there are, and bringing in the weights of those that are not shipped."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.configuration import DataDir, load_settings
from api.commands.terminal import warn

if TYPE_CHECKING:
    from model.registry import ModelSpec

models = typer.Typer(invoke_without_command=True)


@models.callback()
def default(context: typer.Context, data_dir: DataDir = None) -> None:
    """Lists the networks; brings in and verifies their weights."""
    if not context.invoked_subcommand:
        list_models(data_dir)


@models.command("list")
def list_models(data_dir: DataDir = None) -> None:
    """Lists the networks, whose weights are here, and what brings the others."""
    from rich.console import Console
    from rich.table import Table

    from model.files import SHIPPED
    from model.registry import REGISTRY
    from model.runtimes import chosen

    engine = load_settings(data_dir=data_dir).engine
    folder = engine.model_dir
    table = Table("model", "weights", "MB", "input", "run by", "licence", "what it is for", box=None)
    elsewhere = []
    for spec in REGISTRY.values():
        file = _file(spec, folder)
        megabytes = round(file.stat().st_size / 1e6, 1) if file else spec.weights.megabytes
        state = "not here" if file is None else "shipped" if file.parent == SHIPPED else "here"
        size = f"{spec.size[1]}x{spec.size[0]}"
        runtime = chosen(spec, engine)
        table.add_row(spec.name, state, str(megabytes or "?"), size, runtime, spec.licence, spec.description)
        if not (file or spec.weights.repo):
            elsewhere.append(f"{spec.name}: {spec.bring}")
    console = Console()
    console.print(table)
    for line in ("", "`objectcut models pull NAME` brings the others.", *elsewhere):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@models.command("pull")
def pull_models(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of `objectcut models`.")],
    revision: Annotated[
        str | None, typer.Option(help="Another branch or commit of the hub's repository.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take another file than is on record in models.lock.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Downloads published weights, verifies them, and pins them in models.lock.

    What was interrupted goes on where it ended. HF_ENDPOINT (a mirror), HF_HUB_OFFLINE and the other
    variables of huggingface_hub are honoured.
    """
    specs = _specs(names)
    for spec in specs:
        if not spec.weights.repo:
            way = "come with objectcut" if spec.weights.shipped else f"are on no hub: {spec.bring}"
            raise typer.BadParameter(f"the weights of {spec.name} {way}", param_hint="NAME")
    folder = _model_dir(data_dir)
    from api.pull import pull

    _each(specs, lambda spec: pull(spec, folder, revision=revision, replace=replace))


@models.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Default: all that are here.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Compares weights with their recorded sha256, loads them strictly, and runs the self-test."""
    from model.registry import REGISTRY
    from model.weights import verify

    folder = _model_dir(data_dir)
    specs = _specs(names) if names else [spec for spec in REGISTRY.values() if _file(spec, folder)]
    _each(specs, lambda spec: f"{spec.name}: whole, sha256 {verify(spec, folder)}")


@models.command("import")
def import_model(
    name: Annotated[str, typer.Argument(help="One of `objectcut models`.")],
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Its .pth or .safetensors.")],
    data_dir: DataDir = None,
) -> None:
    """Verifies a published or trained checkpoint and keeps it as safetensors, pinned by its sha256.

    It takes the place of weights that came with objectcut.
    """
    from model.weights import import_weights

    folder = _model_dir(data_dir)
    _each(_specs([name]), lambda spec: import_weights(file, spec, folder))


def _model_dir(data_dir: Path | None) -> Path:
    return load_settings(data_dir=data_dir).engine.model_dir


def _specs(names: Iterable[str]) -> "list[ModelSpec]":
    from model.registry import REGISTRY

    if unknown := [name for name in names if name not in REGISTRY]:
        raise typer.BadParameter(
            f"no such model: {', '.join(unknown)}; there are {', '.join(REGISTRY)}", param_hint="NAME"
        )
    return [REGISTRY[name] for name in names]


def _each(specs: "Iterable[ModelSpec]", act: "Callable[[ModelSpec], object]") -> None:
    """Prints what becomes of each model; one's failure is never another's, and ends in status 1."""
    from model.errors import ModelUnavailable

    failed = False
    for spec in specs:
        try:
            typer.echo(act(spec))
        except (ModelUnavailable, OSError) as exc:
            warn(f"{spec.name}: {exc}")
            failed = True
    if failed:
        raise typer.Exit(1)


def _file(spec: "ModelSpec", folder: Path) -> Path | None:
    from model.errors import ModelUnavailable
    from model.files import find

    try:
        return find(spec, folder)
    except ModelUnavailable:
        return None
