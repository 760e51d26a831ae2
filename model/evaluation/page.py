"""A report as one HTML file: figures, precision over recall, attributes, the best and the worst pictures."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from model.evaluation.report import Report, Scores

__all__ = ["Exhibit", "html"]

_SIDE = 360
"""Of the plot, px."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1rem 0 }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
figure { display: inline-block; margin: 0 .5rem 1rem 0; vertical-align: top }
figure img { height: 150px; background: #eee }
figcaption { font-size: 13px; color: #555 }
svg text { font-size: 12px; fill: #555 }
"""


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A pair to show. pictures: PNG files by what they show, in the order of showing."""

    name: str
    pictures: Mapping[str, bytes]


def html(report: Report, *, title: str, best: Sequence[Exhibit], worst: Sequence[Exhibit]) -> str:
    """The page, complete in itself: it asks for no other file."""
    sections = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(report.images)} pictures.</p>",
        _table({"all": report.mean, **report.attributes}),
        "<h2>Precision over recall</h2>",
        _plot(report.recall, report.precision),
        "<h2>Best</h2>",
        *(_figures(exhibit, report.images[exhibit.name]) for exhibit in best),
        "<h2>Worst</h2>",
        *(_figures(exhibit, report.images[exhibit.name]) for exhibit in worst),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(sections)}</body></html>\n'


def _table(rows: Mapping[str, Scores]) -> str:
    measures = next(iter(rows.values()))
    head = "".join(f"<th>{escape(measure)}</th>" for measure in ("", *measures))
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_figure(v)}</td>' for v in scores.values())}</tr>"
        for name, scores in rows.items()
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _plot(recall: Sequence[float], precision: Sequence[float]) -> str:
    """Both axes from 0 to 1."""
    points = " ".join(
        f"{x * _SIDE:.1f},{(1 - y) * _SIDE:.1f}" for x, y in zip(recall, precision, strict=True)
    )
    ticks = "".join(
        f'<path d="M{t * _SIDE:.0f} 0V{_SIDE}M0 {t * _SIDE:.0f}H{_SIDE}" stroke="#ddd"/>'
        f'<text x="{t * _SIDE:.0f}" y="{_SIDE + 16}" text-anchor="middle">{t:g}</text>'
        f'<text x="-6" y="{(1 - t) * _SIDE + 4:.0f}" text-anchor="end">{t:g}</text>'
        for t in (0, 0.25, 0.5, 0.75, 1)
    )
    axes = f'<text x="{_SIDE / 2}" y="{_SIDE + 34}" text-anchor="middle">recall</text>'
    axes += f'<text transform="rotate(-90)" x="{-_SIDE / 2}" y="-38" text-anchor="middle">precision</text>'
    width, height = _SIDE + 80, _SIDE + 60
    return (
        f'<svg width="{width}" height="{height}" viewBox="-50 -10 {width} {height}">{ticks}{axes}'
        f'<polyline points="{points}" fill="none" stroke="#0a6" stroke-width="2"/></svg>'
    )


def _figures(exhibit: Exhibit, scores: Scores) -> str:
    shown = ", ".join(f"{key} {_figure(scores[key])}" for key in ("S", "F_max", "MAE"))
    images = "".join(
        f'<img alt="{escape(what)}" title="{escape(what)}"'
        f' src="data:image/png;base64,{base64.b64encode(picture).decode()}"> '
        for what, picture in exhibit.pictures.items()
    )
    return f"<figure>{images}<figcaption>{escape(exhibit.name)}: {shown}</figcaption></figure>"
