"""objectcut evaluate: the field's measures of predictions in a folder, or of a model on photos."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.cut import DEFAULT_JOBS, MOST_JOBS, cut_into
from api.commands.photos import SUFFIXES, Folder, find_photos
from api.commands.scoresheet import read_attributes, write_page
from api.commands.terminal import console, progress, warn
from api.options import CutoutOptions

if TYPE_CHECKING:
    from model.evaluation.metrics import Gray
    from model.evaluation.report import Report

FOLDER = {"exists": True, "file_okay": False}


def evaluate(
    masks: Annotated[Path, typer.Option(**FOLDER, help="Ground truth: grey pictures, foreground > 128.")],
    predictions: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Predictions: grey pictures. With --model: where they are kept."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Predict with this model, as the service would.")] = None,
    images: Annotated[Path | None, typer.Option(**FOLDER, help="The photos for --model.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="With --model: the network's matte, enlarged but not refined.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write figures here.")
    ] = None,
    per_image: Annotated[bool, typer.Option("--per-image", help="The figures of every image too.")] = False,
    html_file: Annotated[
        Path | None,
        typer.Option("--html", dir_okay=False, help="Write a page, with the best and worst pictures, here."),
    ] = None,
    attributes: Annotated[
        Path | None,
        typer.Option(exists=True, help="CSV of names and attributes, or a folder with one for each: as SOC."),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
) -> None:
    """Measures predictions against ground truth, paired by stem."""
    if (model is None) != (images is None) or not (model or predictions):
        raise typer.BadParameter("give --predictions DIR, or --model NAME with --images DIR")
    if model is None and raw:
        raise typer.BadParameter("--raw goes with --model")
    with tempfile.TemporaryDirectory(prefix="objectcut-") as scratch:
        folder = predictions or Path(scratch)
        if model and images:
            paired(by_stem(images), by_stem(masks), "image")
            options = CutoutOptions(model=model, output="alpha", format="png", refine=not raw)
            predict(images, folder, options, jobs)
        pairs = [FilePair(*pair) for pair in paired(by_stem(folder), by_stem(masks), "prediction")]
        report = _score(pairs, attributes, jobs)
        _show(report, per_image=per_image)
        if json_file:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(report.as_json(per_image=per_image), indent=1) + "\n")
        if html_file:
            write_page(
                html_file,
                report,
                title=f"{model or predictions} on {masks}",
                photos=by_stem(images) if images else {},
                files={pair.name: (pair.prediction, pair.mask) for pair in pairs},
            )


def by_stem(folder: Path) -> dict[str, Path]:
    """The pictures of a folder. Raises typer.BadParameter for none and for two of one stem."""
    found: dict[str, Path] = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                if other := found.get(path.stem):
                    raise typer.BadParameter(f"{folder}: {other.name} and {path.name} have one stem")
                found[path.stem] = path
    if not found:
        raise typer.BadParameter(f"{folder}: no pictures there")
    return found


def paired(ours: Mapping[str, Path], masks: Mapping[str, Path], what: str) -> list[tuple[str, Path, Path]]:
    """(stem, ours, mask) of every pair. Raises typer.BadParameter where one has no partner."""
    for these, those, lacking in ((ours, masks, "mask"), (masks, ours, what)):
        if lonely := sorted(these.keys() - those.keys()):
            more = f" (nor have {len(lonely) - 1} more)" if len(lonely) > 1 else ""
            raise typer.BadParameter(f"{these[lonely[0]]} has no {lacking}{more}")
    return [(stem, path, masks[stem]) for stem, path in ours.items()]


@dataclass(frozen=True, slots=True)
class FilePair:
    """A Pair of model.evaluation.benchmark: two files, read where they are scored."""

    name: str
    prediction: Path
    mask: Path

    def load(self) -> "tuple[Gray, Gray]":
        """Raises ValueError for a file that is no picture, and for a mask of classes' numbers."""
        from model.training.pictures import unnumbered

        return read_gray(self.prediction), unnumbered(read_gray(self.mask), str(self.mask))


def read_gray(path: Path) -> "Gray":
    """(H, W) uint8, the values as they are in the file; of a cutout, its alpha.

    Raises ValueError.
    """
    from model.training.pictures import matte_of

    return matte_of(path.read_bytes(), str(path))


def predict(images: Path, folder: Path, options: CutoutOptions, jobs: int | None) -> None:
    """Writes the prediction of every photo of a folder into another. Raises typer.Exit when one fails."""
    photos = find_photos([images], recursive=False)
    if failed := cut_into(Folder(folder, photos), photos, options, jobs=min(jobs or DEFAULT_JOBS, MOST_JOBS)):
        warn(f"{failed} of {len(photos)} photos could not be predicted")
        raise typer.Exit(1)


def _score(pairs: list[FilePair], attributes: Path | None, jobs: int | None) -> "Report":
    try:
        from model.evaluation.benchmark import evaluate as score
    except ModuleNotFoundError as exc:
        warn(f"{exc}: pip install 'objectcut[evaluate]'")
        raise typer.Exit(2) from None
    try:
        bearers = read_attributes(attributes) if attributes else None
        with progress(len(pairs), "score") as advance:
            return score(pairs, attributes=bearers, jobs=jobs, on_pair=lambda _: advance())
    except ValueError as exc:
        warn(str(exc))
        raise typer.Exit(1) from None


def _show(report: "Report", *, per_image: bool) -> None:
    from rich.table import Table

    summary = {"mean": report.mean, **report.attributes}
    table = Table("", *summary, box=None)
    for key in report.mean:
        table.add_row(key, *(_figure(scores[key]) for scores in summary.values()))
    console.print(table)
    if per_image:
        for name, scores in report.images.items():
            figures = ", ".join(f"{key} {_figure(value)}" for key, value in scores.items())
            console.print(f"{name}: {figures}", markup=False, soft_wrap=True)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
