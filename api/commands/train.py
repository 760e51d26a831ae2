"""objectcut train: a network of our own, from packs of pictures and mattes."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from api.commands.terminal import warn


def train(
    network: Annotated[Literal["lite"], typer.Argument(help="The recipe to follow.")],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The folder of the data packs.")],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Weights, checkpoints and the TensorBoard log.")
    ] = Path("var/training"),
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to train.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Another batch size than the recipe's.")] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
) -> None:
    """Trains a network; started again with the same --out, goes on where it was."""
    try:
        from model.training.loop import train as run
    except ModuleNotFoundError as exc:
        warn(f"{exc}: pip install 'objectcut[train]'")
        raise typer.Exit(2) from None
    from model.device import choose_device
    from model.training.packs import PackError
    from model.training.recipe import RECIPES

    recipe = RECIPES[network]
    recipe = replace(recipe, seed=recipe.seed if seed is None else seed, batch=batch or recipe.batch)
    try:
        weights = run(recipe, data, out, device=choose_device(device).type, checkpoint_every=checkpoint_every)
    except (PackError, OSError, ValueError) as exc:
        warn(str(exc))
        raise typer.Exit(1) from None
    typer.echo(weights)
