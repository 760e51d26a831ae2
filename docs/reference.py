"""Writes docs/reference/ from the code: routes, errors, commands, models; `--check` fails on stale ones."""

import html
import json
import subprocess
import sys
from pathlib import Path

from api import problems
from api.routes.reference import meaning, reference_page
from docs import openapi_document
from docs.generated import keep
from model.registry import REGISTRY, ModelSpec

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
        f"| `{kind.code}` | {kind.status} | {kind.title} | {meaning(kind)} |"
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


def routes() -> str:
    """Every route, as the service's own page /docs tells them."""
    page = reference_page(json.loads(openapi_document.document()))
    body = page.partition("</h1>")[2].rpartition("</html>")[0].strip()
    body = body.replace('href="openapi.json"', 'href="../openapi.json"').replace(
        'href="errors"', 'href="ERRORS.html"'
    )
    return f"# Every route\n\n{body}\n"


def models() -> str:
    """Every network that a request may name."""
    return "\n".join(
        [
            "# Models",
            "",
            "The records of `model/registry.py`. [Models](../models/README.md) says which is for what, and",
            "how to bring one in.",
            "",
            "| name | | input, px | download | weights | licence | paper |",
            "|---|---|---|---|---|---|---|",
            *(_model(spec) for spec in REGISTRY.values()),
            "",
        ]
    )


def _model(spec: ModelSpec) -> str:
    height, width = spec.size
    range_ = f", or a square of {spec.sides[0]} to {spec.sides[1]}" if spec.sides else ""
    download = f"{spec.weights.megabytes} MB" if spec.weights.megabytes else "see its page"
    cells = (
        f"`{spec.name}`",
        spec.description,
        f"{width} x {height}{range_}",
        "ships with objectcut" if spec.weights.shipped else download,
        spec.weights.source,
        spec.licence,
        spec.paper,
    )
    return f"| {' | '.join(cells)} |"


PAGES = {"CLI.md": command_line, "ERRORS.md": errors, "HTTP.md": routes, "MODELS.md": models}


def main(arguments: list[str]) -> int:
    """Writes the pages, or compares them."""
    FOLDER.mkdir(exist_ok=True)
    return max([keep(FOLDER / name, write(), arguments) for name, write in PAGES.items()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
