"""What every bench prints: Markdown tables, and each bar with its verdict."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MISSED = "MISSED"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar and what was measured, and whether that meets it."""

    text: str
    met: bool

    def __str__(self) -> str:
        return f"- {'met' if self.met else f'**{MISSED}**'}: {self.text}"


def at_least(what: str, value: float, bar: float, form: str = "{:.2f}") -> Verdict:
    """The verdict on a figure that must not be below its bar. form: how both are written."""
    return Verdict(f"{what}: {form.format(value)} (at least {form.format(bar)})", value >= bar)


def at_most(what: str, value: float, bar: float, form: str = "{:.2f}") -> Verdict:
    """The verdict on a figure that must not be above its bar. form: how both are written."""
    return Verdict(f"{what}: {form.format(value)} (at most {form.format(bar)})", value <= bar)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, in line in a terminal, too: the first column to the left, others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (padded[0], rule, *padded[1:]))


def say(text: str = "") -> None:
    """To standard output, at once: what ends up on the page."""
    print(text, flush=True)  # noqa: T201 - what a bench is for


def progress(text: str) -> None:
    """To whoever watches, and not on the page."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def conclude(verdicts: Sequence[Verdict]) -> None:
    """Prints the verdicts, and ends the command: with 1 where a bar was missed."""
    say("\n" + "\n".join(map(str, verdicts)))
    raise SystemExit(int(any(not verdict.met for verdict in verdicts)))
