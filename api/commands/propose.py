"""objectcut propose: mattes for pictures without, to train the next network on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from api.commands.configuration import DataDir, load_settings
from api.commands.terminal import warn


def propose(
    packs: Annotated[list[str], typer.Argument(metavar="PACK…", help="Packs of pictures without mattes.")],
    data: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="The folder of the packs: see docs/TRAINING.md."),
    ],
    out: Annotated[Path, typer.Option(file_okay=False, help="The mask pack to write: masks-NAME.")],
    model: Annotated[str, typer.Option(help="A square model of `objectcut models`.")] = "lite",
    weights: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Other weights of that model.")
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(metavar="MASK-PACK", help="Pass over pictures that these have masks of."),
    ] = None,
    agreement: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="IoU of network and GrabCut from which a mask is kept.")
    ] = 0.9,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where to infer.")] = "auto",
    data_dir: DataDir = None,
) -> None:
    """Masks on which a network and GrabCut agree, for pictures that have none."""
    try:
        from model.training import propose as proposing
    except ModuleNotFoundError as exc:
        warn(f"{exc}: pip install 'objectcut[train]'")
        raise typer.Exit(2) from None
    from model.device import choose_device
    from model.errors import ModelUnavailable

    try:
        model_dir = load_settings(data_dir=data_dir).engine.model_dir
        net, side = proposing.teacher(model, weights, data, model_dir, choose_device(device))
        kept, seen = proposing.propose(
            net, side, data, packs, out, proposing.Agreement(agreement), known=known or ()
        )
    except (ModelUnavailable, OSError, ValueError) as exc:
        warn(str(exc))
        raise typer.Exit(1) from None
    typer.echo(f"{out}: {kept} masks for {seen} pictures")
