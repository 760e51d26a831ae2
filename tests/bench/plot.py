"""Images/s and ms a call over the size of the batch, as SVG that reads well on light and dark pages."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.bench.figures import EAGER, OURS, Figures, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK = "#7d8590"
"""A grey with enough contrast to white and to GitHub's dark ground; the ground itself is left transparent."""

COLOURS = ("#2f81f7", "#db6d28", "#2da44e", "#bf4b8a", "#8957e5", "#b08800", "#1b9aaa", "#d1242f")
_Line = Literal["-", ":", "--"]
_WAYS: dict[str, tuple[_Line, str]] = {OURS: ("-", "o"), EAGER: (":", ".")}
_OTHER_WAY: tuple[_Line, str] = ("--", "x")
"""Line and marker."""


@contextmanager
def sheet(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure (sizes in inches) to draw on, then written to `path`: the same figure gives the same bytes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {
            "svg.hashsalt": "objectcut",
            "svg.fonttype": "none",  # text stays text, in the reader's own font
            "font.family": "sans-serif",
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
        }
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def frame(axes: "Axes", across: str, up: str) -> None:
    """Labels, a pale grid, no box."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw(figures: Figures, path: Path) -> None:
    """Writes the plots: a colour for each network, a kind of line for each way of running it."""
    batches = sorted({row.batch for row in figures.rows})
    with sheet(path, 10.4, 4.4) as figure:
        rates, times = figure.subplots(1, 2)
        for axes, up in ((rates, "images/s"), (times, "ms a call")):
            frame(axes, "pictures in a batch", up)
            _scales(axes, batches)
        _curves(rates, figures, lambda row: row.rate)
        _curves(times, figures, lambda row: 1000 * row.median)
        figure.legend(handles=list(_legend(figures)), loc="outside right upper", frameon=False)


def _scales(axes: "Axes", batches: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()


def _curves(axes: "Axes", figures: Figures, height: Callable[[Row], float]) -> None:
    """One for each network and way, calls one after the other."""
    for network, colour in _colours(figures):
        for way in _ways(figures):
            line, marker = _WAYS.get(way, _OTHER_WAY)
            rows = [row for row in figures.rows if (row.network, row.way, row.at_once) == (network, way, 1)]
            batches, heights = [row.batch for row in rows], [height(row) for row in rows]
            axes.plot(batches, heights, linestyle=line, marker=marker, color=colour, markersize=5)


def _legend(figures: Figures) -> Iterator["Line2D"]:
    from matplotlib.lines import Line2D

    for network, colour in _colours(figures):
        yield Line2D([], [], color=colour, linewidth=5, label=network)
    for way in _ways(figures):
        line, marker = _WAYS.get(way, _OTHER_WAY)
        yield Line2D([], [], color=INK, linestyle=line, marker=marker, markersize=5, label=way)


def _colours(figures: Figures) -> list[tuple[str, str]]:
    """Each network with its own."""
    networks = dict.fromkeys(row.network for row in figures.rows)
    return list(zip(networks, itertools.cycle(COLOURS), strict=False))


def _ways(figures: Figures) -> list[str]:
    return list(dict.fromkeys(row.way for row in figures.rows))
