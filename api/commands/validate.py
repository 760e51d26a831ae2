"""objectcut validate: a model on the pictures that training held out, pack by pack."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from api.commands.evaluate import FilePair, predict
from api.commands.terminal import console, progress, warn
from api.options import CutoutOptions

SHOWN = ("IoU", "S", "F_max", "F_weighted", "E_mean", "MAE")


def validate(
    model: Annotated[str, typer.Argument(help="A model of `objectcut models`.")],
    data: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The folder of the data packs.")],
    pack: Annotated[
        list[str] | None, typer.Option(help="A pack, as often as wanted, instead of those of the recipe.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="The network's matte, enlarged but not refined.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write figures here.")
    ] = None,
) -> None:
    """Measures a model on the held-out pictures of the packs, as the service would cut them."""
    try:
        from model.evaluation.benchmark import score
        from model.evaluation.report import summarise
    except ModuleNotFoundError as exc:
        warn(f"{exc}: pip install 'objectcut[evaluate]'")
        raise typer.Exit(2) from None
    from model.training.pictures import PackError
    from model.training.recipes.lite import VALIDATION

    with tempfile.TemporaryDirectory(prefix="objectcut-") as name:
        scratch = Path(name)
        try:
            packs = {each: _unpacked(data, each, scratch) for each in pack or VALIDATION}
        except PackError as exc:
            warn(str(exc))
            raise typer.Exit(1) from None
        options = CutoutOptions(model=model, output="alpha", format="png", refine=not raw)
        predict(scratch / "images", scratch / "alphas", options, None)
        stems = [stem for of_pack in packs.values() for stem in of_pack]
        pairs = [FilePair(s, scratch / "alphas" / f"{s}.png", scratch / "masks" / f"{s}.png") for s in stems]
        with progress(len(pairs), "score") as advance:
            scored = score(pairs, on_pair=lambda _: advance())
    figures = {pack: summarise([scored[stem] for stem in of_pack]) for pack, of_pack in packs.items()}
    figures["all"] = summarise(list(scored.values()))
    counts = {pack: len(of_pack) for pack, of_pack in packs.items()} | {"all": len(stems)}
    _show(figures, counts)
    if json_file:
        json_file.write_text(json.dumps({"pictures": counts, "figures": figures}, indent=1) + "\n")


def _unpacked(data: Path, pack: str, scratch: Path) -> list[str]:
    """Writes the pack's held-out pictures and mattes as files; their stems."""
    import cv2

    from model.training.packs import validation_pairs

    stems = []
    for stem, picture, matte in validation_pairs(data, pack):
        stems.append(f"{pack.replace('/', '--')}--{stem}")
        for folder, pixels in (("images", picture[..., ::-1]), ("masks", matte)):
            (scratch / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(scratch / folder / f"{stems[-1]}.png"), pixels)
    return stems


def _show(figures: dict[str, dict[str, float | None]], counts: dict[str, int]) -> None:
    from rich.table import Table

    table = Table("pack", "pictures", *SHOWN, box=None)
    for pack, scores in figures.items():
        table.add_row(pack, str(counts[pack]), *(f"{scores[key]:.4f}" for key in SHOWN))
    console.print(table)
