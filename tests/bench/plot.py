"""Images per second over the size of the batch, as an SVG that reads well on light and dark pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.bench.figures import EAGER, OURS, Figures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_INK = "#7d8590"
"""A grey with enough contrast to white and to GitHub's dark ground; the ground itself is left transparent."""

_COLOURS = ("#2f81f7", "#db6d28", "#2da44e", "#bf4b8a", "#8957e5", "#b08800", "#1b9aaa", "#d1242f")
_Line = Literal["-", ":", "--"]
_WAYS: dict[str, tuple[_Line, str]] = {OURS: ("-", "o"), EAGER: (":", ".")}
_OTHER_WAY: tuple[_Line, str] = ("--", "x")
"""Line and marker."""


def draw(figures: Figures, path: Path) -> None:
    """Writes the plot: a colour for each network, a kind of line for each way of running it."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(
        {
            "svg.hashsalt": "objectcut",  # the same figures give the same bytes
            "svg.fonttype": "none",  # text stays text, in the reader's own font
            "font.family": "sans-serif",
            "text.color": _INK,
            "axes.labelcolor": _INK,
            "axes.edgecolor": _INK,
            "xtick.color": _INK,
            "ytick.color": _INK,
        }
    ):
        figure = Figure(figsize=(8.4, 4.4), layout="constrained")
        axes = figure.subplots()
        _scales(axes, sorted({row.batch for row in figures.rows}))
        figure.legend(handles=list(_curves(axes, figures)), loc="outside right upper", frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _scales(axes: "Axes", batches: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlabel("pictures in a batch")
    axes.set_ylabel("images/s")
    axes.grid(color=_INK, alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _curves(axes: "Axes", figures: Figures) -> Iterator["Line2D"]:
    """Draws them; the entries of the legend."""
    from matplotlib.lines import Line2D

    ways = list(dict.fromkeys(row.way for row in figures.rows))
    networks = dict.fromkeys(row.network for row in figures.rows)
    for number, network in enumerate(networks):
        colour = _COLOURS[number % len(_COLOURS)]
        for way in ways:
            line, marker = _WAYS.get(way, _OTHER_WAY)
            rows = [row for row in figures.rows if (row.network, row.way, row.at_once) == (network, way, 1)]
            batches, rates = [row.batch for row in rows], [row.rate for row in rows]
            axes.plot(batches, rates, linestyle=line, marker=marker, color=colour, markersize=5)
        yield Line2D([], [], color=colour, linewidth=5, label=network)
    for way in ways:
        line, marker = _WAYS.get(way, _OTHER_WAY)
        yield Line2D([], [], color=_INK, linestyle=line, marker=marker, markersize=5, label=way)
