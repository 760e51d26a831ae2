"""Draws quality, latency and batching from the tables and files that the pages keep of them."""

from pathlib import Path

from tests.bench.figures import Figures
from tests.bench.plot import COLOURS, INK, draw, frame, sheet

DOCS = Path(__file__).parent
IMAGES = DOCS / "images"
MEASURES = ("mean IoU", "S", "weighted F")
Table = list[dict[str, str]]


def table(document: Path, *columns: str) -> Table:
    """The rows of the first Markdown table that has these columns, cells without emphasis."""
    cells: list[list[str]] = []
    for line in document.read_text(encoding="utf-8").splitlines():
        row = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if cells and not line.startswith("|"):
            break
        if cells or set(columns) <= set(row):
            cells.append(row)
    head, _, *rows = cells
    return [dict(zip(head, row, strict=True)) for row in rows]


def quality(rows: Table, path: Path) -> None:
    """Bars: for each pack its measures, from 0 to 1, the figures beside them."""
    with sheet(path, 8.4, 0.62 * len(rows) + 0.8) as figure:
        axes = figure.subplots()
        frame(axes, "", "")
        thick = 0.8 / len(MEASURES)
        for number, measure in enumerate(MEASURES):
            places = [row + (number - (len(MEASURES) - 1) / 2) * thick for row in range(len(rows))]
            bars = axes.barh(
                places,
                [float(row[measure]) for row in rows],
                thick * 0.9,
                color=COLOURS[number],
                label=measure,
            )
            axes.bar_label(bars, [row[measure] for row in rows], padding=3, fontsize=7, color=INK)
        axes.set_yticks(range(len(rows)), [f"{row['pack']} ({row['pictures']})" for row in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.08)
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper right", ncols=len(MEASURES), frameon=False)


def service(rows: Table, path: Path) -> None:
    """Throughput and latency of the whole service; the first row of each concurrency."""
    first = {int(row["concurrency"]): row for row in reversed(rows)}
    concurrency = sorted(first)
    with sheet(path, 8.4, 3.4) as figure:
        rate, wait = figure.subplots(1, 2)
        for axes, up, columns in ((rate, "images/s", ("images/s",)), (wait, "ms", ("p50 ms", "p95 ms"))):
            frame(axes, "requests at once", up)
            for column, colour in zip(columns, COLOURS, strict=False):
                heights = [float(first[number][column]) for number in concurrency]
                axes.plot(concurrency, heights, marker="o", markersize=5, color=colour, label=column)
            axes.set_xticks(concurrency)
            axes.set_ylim(bottom=0)
        wait.legend(frameon=False)


def main(images: Path = IMAGES) -> None:
    """Writes quality-lite.svg, service.svg and networks-*.svg."""
    quality(table(DOCS / "models" / "lite.md", "pack", *MEASURES), images / "quality-lite.svg")
    service(table(DOCS / "BENCHMARK.md", "concurrency", "p50 ms"), images / "service.svg")
    for kept in sorted((DOCS / "benchmark").glob("networks-*.json")):
        draw(Figures.read(kept), images / f"{kept.stem}.svg")


if __name__ == "__main__":
    main()
