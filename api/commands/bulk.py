"""objectcut bulk: from one folder or bucket into another, on a Ray cluster."""

from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.commands.configuration import load_settings
from api.commands.options import BackgroundImage, cutout_options, takes_cutout_options
from api.commands.photos import SUFFIXES
from api.commands.terminal import console, progress, warn
from api.options import CutoutOptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyarrow import Table

    from api.bulk.places import Place
    from api.bulk.recipe import Recipe
    from api.bulk.run import Figures, Work
    from api.bulk.share import Wanted

MOST_SHOWN = 20
"""Failures that the terminal tells; the manifest has them all."""

FAILURES_LEFT = 3
"""The exit status when everything has been tried and something has failed."""


@takes_cutout_options
def bulk(
    source: Annotated[str, typer.Argument(metavar="SRC", help="A folder, s3://BUCKET/PREFIX or gs://….")],
    target: Annotated[str, typer.Argument(metavar="DST", help="The same, for the results.")],
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster, HOST:PORT or auto. Default: one of this machine, for this run."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Most workers. Default: as many as have room.")
    ] = None,
    cpus_per_worker: Annotated[
        int | None, typer.Option(min=1, max=512, help="Default: 4, or a whole smaller machine.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(min=0, max=16, help="May be a part of one. Default: 1 where there are any."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Tries again what would most likely only fail again.")
    ] = False,
    background_image: BackgroundImage = None,
    **chosen: Any,
) -> None:
    """Cuts every picture below SRC into DST, and goes on where an earlier run has ended."""
    options = cutout_options(chosen, background_image)
    try:
        import_module("api.bulk.cluster")  # everything that it brings is used later
        from api.bulk.places import PlaceError, apart, open_place
        from api.bulk.run import Figures, Stop
        from api.bulk.share import Wanted
    except ModuleNotFoundError as exc:
        warn(f"{exc}: pip install 'objectcut[ray]'")
        raise typer.Exit(2) from None
    figures = Figures()
    try:
        places = open_place(source), open_place(target)
        apart(*places)
        recipe = _recipe(options, background_image)
        wanted = Wanted(address, concurrency, cpus_per_worker, gpus_per_worker)
        _run(*places, recipe, wanted, figures, retry_failed=retry_failed)
    except PlaceError as exc:
        raise typer.BadParameter(str(exc), param_hint="SRC DST") from exc
    except (Stop, OSError) as exc:
        warn(str(exc))
        console.print(str(figures))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print(f"interrupted: {figures}; the same command goes on")
        raise typer.Exit(130) from None
    console.print(str(figures))
    if figures.failed:
        raise typer.Exit(FAILURES_LEFT)


def _recipe(options: CutoutOptions, background_image: Path | None) -> "Recipe":
    """Raises ModelUnavailable."""
    from api.bulk.recipe import Recipe, model_digest
    from api.errors import as_error
    from model.errors import ModelError
    from model.registry import REGISTRY

    if options.model not in REGISTRY:
        raise typer.BadParameter(f"no such model; there are {', '.join(REGISTRY)}", param_hint="--model")
    try:
        digest = model_digest(options.model, load_settings().engine.model_dir)
    except ModelError as exc:
        raise as_error(exc) from None
    return Recipe(options, digest, background_image.read_bytes() if background_image else None)


def _run(
    source: "Place",
    target: "Place",
    recipe: "Recipe",
    wanted: "Wanted",
    figures: "Figures",
    *,
    retry_failed: bool,
) -> None:
    """Raises Stop, OSError."""
    from api.bulk.cluster import workers
    from api.bulk.cutter import Order
    from api.bulk.manifest import Manifest
    from api.bulk.plan import make_plan, results
    from api.bulk.run import carry_out

    listing = source.listing()
    manifest = Manifest(target, recipe)
    target.clear_scratch()
    before = manifest.latest()
    plan = make_plan(listing, before, recipe.digest, SUFFIXES, retry_failed=retry_failed)
    if not plan.total:
        raise typer.BadParameter("no pictures there", param_hint="SRC")
    settings = load_settings(engine={"models": (recipe.options.model,)})
    order = Order(source, target, recipe, settings)
    with ExitStack() as stack:
        work: Work = _nothing
        if plan.work:
            known = results(before, recipe.digest, plan.work)
            work = stack.enter_context(workers(order, wanted, known))
        advance = stack.enter_context(progress(len(plan.work) + len(plan.refused), "cut"))
        carry_out(plan, manifest, work, recipe.digest, figures=figures, told=_teller(advance))
    target.clear_scratch()


def _nothing(*_: object) -> "Iterable[Table]":
    return ()


def _teller(advance: Callable[[], None]) -> "Callable[[Table], None]":
    """Tells the first failures, and every picture's end to the progress bar."""
    left = MOST_SHOWN

    def tell(rows: "Table") -> None:
        nonlocal left
        for name, code, detail in zip(
            *(rows[of].to_pylist() for of in ("name", "code", "detail")), strict=True
        ):
            advance()
            if code and left:
                left -= 1
                warn(f"{name}: {detail}" if left else "more of them in the manifest")

    return tell
