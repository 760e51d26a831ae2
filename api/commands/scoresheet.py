"""What `objectcut evaluate` reads and writes besides the pictures: attributes in, an HTML page out."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from api.commands.photos import SUFFIXES

if TYPE_CHECKING:
    from model.evaluation.page import Exhibit
    from model.evaluation.report import Report

SHOWN = 8
"""Pictures at either end of the page."""
HEIGHT = 150
"""Of a picture on the page, px."""


def read_attributes(source: Path) -> dict[str, set[str]]:
    """The stems of the pictures that bear each attribute.

    source: a folder with a folder of pictures for each attribute, or a CSV file of rows that name a picture,
    then its attributes; a first row that begins with `name` is a head. Raises ValueError where there are
    none.
    """
    bearers: dict[str, set[str]] = defaultdict(set)
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in SUFFIXES:
                attribute = path.relative_to(source).parts[0]
                if attribute != path.name:
                    bearers[attribute].add(path.stem)
    else:
        with source.open(newline="", encoding="utf-8-sig") as file:
            for row in csv.reader(file):
                if row and row[0] != "name":
                    for attribute in " ".join(row[1:]).replace(";", " ").split():
                        bearers[attribute].add(_stem(row[0]))
    if not bearers:
        raise ValueError(f"{source} names no attribute of any picture")
    return dict(bearers)


def _stem(named: str) -> str:
    """A picture's, whose suffix may be left out; so that `a.v2` is no picture `a`."""
    path = Path(named)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def write_page(
    file: Path,
    report: "Report",
    *,
    title: str,
    photos: Mapping[str, Path],
    files: Mapping[str, tuple[Path, Path]],
) -> None:
    """The report as HTML. photos: by name, as far as there are any. files: prediction and mask, by name."""
    from model.evaluation.page import html

    ranked = report.ranked()
    shown = min(SHOWN, (len(ranked) + 1) // 2)
    ends = ranked[:shown], list(reversed(ranked[shown:]))[:SHOWN]

    def exhibit(names: Iterable[str]) -> "list[Exhibit]":
        return [_exhibit(name, photos.get(name), *files[name]) for name in names]

    best, worst = (exhibit(names) for names in ends)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(html(report, title=title, best=best, worst=worst), encoding="utf-8")


def _exhibit(name: str, photo: Path | None, prediction: Path, mask: Path) -> "Exhibit":
    from model.evaluation.page import Exhibit

    shown = {"photo": photo, "prediction": prediction, "mask": mask}
    thumbnails = {what: _thumbnail(path) for what, path in shown.items() if path}
    return Exhibit(name, {what: small for what, small in thumbnails.items() if small})


def _thumbnail(path: Path) -> bytes | None:
    """A PNG file of HEIGHT px; None of a file that OpenCV cannot read, such as a HEIC photo."""
    import cv2

    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        return None
    width = max(1, round(picture.shape[1] * HEIGHT / picture.shape[0]))
    small = cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".png", small)[1])
