"""Writes docs/reference/ from the code: the command line, the errors; `--check` fails when one is stale."""

import html
import inspect
import subprocess
import sys
from pathlib import Path

from api import problems
from docs.generated import keep

FOLDER = Path(__file__).with_name("reference")


def command_line() -> str:
    """Every command and option, as typer tells them."""
    typer = Path(sys.executable).with_name("typer")
    command = [str(typer), "api.cli", "utils", "docs", "--name", "objectcut", "--title", "The command line"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return html.unescape(told.stdout).rstrip() + "\n"


def errors() -> str:
    """Every `code`, its status and what it means."""
    rows = [
        f"| `{kind.code}` | {kind.status} | {kind.title} | {_first_paragraph(kind)} |"
        for kind in sorted(problems.kinds(), key=lambda kind: (kind.status, kind.code))
    ]
    return "\n".join(
        [
            "# Errors",
            "",
            "Failures of `/v1` are problem documents (RFC 9457), `application/problem+json`, with a stable",
            "`code`. The other contracts give theirs in the shape that their clients know.",
            "",
            "| code | status | title | when |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _first_paragraph(kind: type) -> str:
    paragraph, _, _ = (inspect.getdoc(kind) or "").partition("\n\n")
    return " ".join(paragraph.split())


PAGES = {"CLI.md": command_line, "ERRORS.md": errors}


def main(arguments: list[str]) -> int:
    """Writes the pages, or compares them."""
    FOLDER.mkdir(exist_ok=True)
    return max([keep(FOLDER / name, write(), arguments) for name, write in PAGES.items()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
