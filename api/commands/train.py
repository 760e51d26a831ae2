"""objectcut train: the papers' networks, one of our own, or any of them further on pictures of yours."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from api.commands.configuration import DataDir, load_settings
from api.commands.terminal import warn

VALIDATE_EVERY = 1000
"""Steps, where the recipe has no validation of its own."""

Name = Literal[
    "lite",
    "lite-teacher",
    "lite-polish",
    "finetune",
    "basnet",
    "birefnet-dis",
    "birefnet-hrsod",
    "birefnet-cod",
    "birefnet-general",
    "birefnet-matting",
]


def train(
    recipe_name: Annotated[Name, typer.Argument(metavar="RECIPE", help="What to train, and how.")],
    data: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="The folder of the data: see docs/TRAINING.md."),
    ],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Weights, checkpoints and the TensorBoard log.")
    ] = Path("var/training"),
    start: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|FILE|random",
            help="What to begin from instead of the recipe's; for finetune: the model to train on.",
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME/SPLIT", help="Train on these instead of the recipe's data sets."),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME/SPLIT", help="Judge by these; the best weights are exported."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="PACK", help="Leave this pack out, and masks for it.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to train.")] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"] | None,
        typer.Option(help="What to compute in; auto: bfloat16 where the device has it."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="So many steps in all, the recipe's phases in proportion.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Another batch size than the recipe's.")] = None,
    accumulate: Annotated[
        int | None, typer.Option(min=1, help="Batches whose gradients make one step.")
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 200,
    data_dir: DataDir = None,
) -> None:
    """Trains a network; started again with the same --out, goes on where it was.

    Several GPUs: torchrun --nproc-per-node 8 --no-python objectcut train RECIPE …
    """
    try:
        from model.training.loop import train as run
    except ModuleNotFoundError as exc:
        warn(f"{exc}: pip install 'objectcut[train]'")
        raise typer.Exit(2) from None
    from model.device import choose_device
    from model.errors import ModelUnavailable
    from model.training.recipe import Folders, Packs
    from model.training.recipes import recipe_of

    try:
        recipe = recipe_of(recipe_name, start)
        if dataset or validation:
            if not isinstance(recipe.data, Folders):
                raise ValueError(f"{recipe_name} trains on packs, not on data sets")
            sets = {"train": dataset, "validation": validation}
            named = {kind: tuple(names) for kind, names in sets.items() if names}
            recipe = replace(
                recipe,
                data=replace(recipe.data, **named),  # type: ignore[arg-type]
                validate_every=recipe.validate_every or (VALIDATE_EVERY if validation else 0),
            )
        if without:
            if not isinstance(recipe.data, Packs):
                raise ValueError(f"{recipe_name} trains on data sets, not on packs")
            recipe = replace(recipe, data=recipe.data.without(without))
        chosen = {
            "start": start,
            "precision": precision,
            "seed": seed,
            "batch": batch,
            "accumulate": accumulate,
        }
        weights = run(
            replace(recipe, **{name: value for name, value in chosen.items() if value is not None}),  # type: ignore[arg-type]
            data,
            out,
            device=choose_device(device),
            checkpoint_every=checkpoint_every,
            steps=steps,
            model_dir=load_settings(data_dir=data_dir).engine.model_dir,
        )
    except (ModelUnavailable, OSError, ValueError) as exc:
        warn(str(exc))
        raise typer.Exit(1) from None
    typer.echo(weights)
