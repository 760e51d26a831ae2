"""Writes docs/CONFIGURATION.md from the settings' own models; `--check` fails when the file is stale."""

import json
import sys
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from api.fleet.settings import WorkerSettings
from api.settings import DERIVED, PREFIX, Settings, variables
from docs.generated import keep

DOCUMENT = Path(__file__).with_name("CONFIGURATION.md")
HEAD = f"""# Configuration

Every setting is an environment variable. `objectcut serve` refuses to start when a variable that begins with
`{PREFIX}` is not one of these, or when a value is out of its range. A file of the same name in
`/run/secrets` (Docker's and Kubernetes' secrets) sets a variable, too. Lists are JSON: `["a", "b"]`.

This file is made by `python -m docs.configuration`; what it says stands beside the code that it configures.
"""
WORKER = f"""## Workers

`objectcut worker` has the settings below and, as above, those of inference (`{PREFIX}ENGINE__…`), of logs
(`{PREFIX}LOGS__…`) and of traces (`{PREFIX}TRACING__…`, by default as `objectcut-worker`); it refuses to
start with any other. [OPERATIONS.md](OPERATIONS.md) says how to run them.
"""


def document() -> str:
    """The whole page."""
    sections = [HEAD, _table("Service", _plain(Settings, PREFIX))]
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            prefix = f"{PREFIX}{name.upper()}__"
            sections.append(_table(str(field.description).rstrip("."), variables(field.annotation, prefix)))
    sections += [WORKER, _rows(_plain(WorkerSettings, PREFIX))]
    return "\n".join(sections)


def _plain(model: type[BaseModel], prefix: str) -> Any:
    groups = tuple(f"{prefix}{name.upper()}__" for name in model.model_fields)
    return (row for row in variables(model, prefix) if not row[0].startswith(groups))


def _table(title: str, rows: Any) -> str:
    return f"## {title}\n\n{_rows(rows)}"


def _rows(rows: Any) -> str:
    lines = ["| Variable | Default | Allowed | What it is |", "|---|---|---|---|"]
    for variable, field in rows:
        cells = (
            f"`{variable}`",
            DERIVED.get(variable) or _default(field),
            _allowed(field),
            field.description or "",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    """Empty where it depends on the machine: then the description tells it."""
    if field.default is PydanticUndefined or field.default in (None, (), {}):
        return ""
    value = field.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{json.dumps(value) if isinstance(value, list | tuple | frozenset) else value}`"


def _allowed(field: FieldInfo) -> str:
    parts = [_kind(field.annotation)]
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    for bound in field.metadata:
        for name, sign in signs.items():
            if (limit := getattr(bound, name, None)) is not None:
                parts.append(f"{sign} {limit}")
        if pattern := getattr(bound, "pattern", None):
            parts.append(f"`{pattern}`")
    return ", ".join(parts)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(annotation))
    if get_origin(annotation) is dict:
        return "JSON object"
    if get_origin(annotation) in (tuple, frozenset, list):
        return f"list of {_kind(get_args(annotation)[0])}"
    if arguments := [part for part in get_args(annotation) if part not in (NoneType, Ellipsis)]:
        return _kind(arguments[0])
    words = {bool: "true or false", int: "whole number", float: "number", SecretStr: "secret text"}
    return words.get(annotation, "path" if annotation is Path else "text")


def main(arguments: list[str]) -> int:
    """Writes the file, or compares it."""
    return keep(DOCUMENT, document(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
