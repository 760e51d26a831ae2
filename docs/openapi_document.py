"""Writes docs/openapi.json, the contract for programs; `--check` fails when the file is stale.

It is what a service that wants keys tells at /openapi.json.
"""

import json
import sys
from pathlib import Path

from api.app import create_app
from api.settings import Settings
from docs.generated import keep

DOCUMENT = Path(__file__).with_name("openapi.json")


def document() -> str:
    """The whole file. Nothing in it depends on the machine; nothing is opened or left behind."""
    settings = Settings.model_validate({"secret_access": "unused", "store": {"kind": "memory"}})
    return json.dumps(create_app(settings).openapi(), indent=1, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the file, or compares it."""
    return keep(DOCUMENT, document(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
