"""What the generated documents share: they are written, or with `--check` compared with what is there."""

import sys
from pathlib import Path


def keep(document: Path, text: str, arguments: list[str]) -> int:
    """The exit status: 1 when `--check` is asked for and `document` holds another text."""
    if arguments != ["--check"]:
        document.write_text(text, encoding="utf-8")
        return 0
    if document.is_file() and document.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"docs/{document.name} is stale: run `make docs`\n")
    return 1
