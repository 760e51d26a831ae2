"""Calls a client's class as a program of its user's would. Runs where the client is installed.

    python drive.py MODULE CLASS '["arguments", …]' '[["method", ["arguments", …], {"named": …}], …]'

Prints one JSON object per call: {"result": …} or {"error": CLASS, "text": …}; bytes are base64.
"""

import base64
import importlib
import json
import sys
from typing import Any


def main() -> None:
    """All calls on one object."""
    module, name, arguments, calls = sys.argv[1:]
    tell: list[dict[str, Any]] = []
    try:
        client = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    except Exception as exc:
        tell.append(_failure(exc))
    else:
        for method, positional, named in json.loads(calls):
            try:
                holder: Any = client
                for part in method.split("."):
                    holder = getattr(holder, part)
                tell.append({"result": _plain(holder(*map(_argument, positional), **named))})
            except Exception as exc:
                tell.append(_failure(exc))
    sys.stdout.write(json.dumps(tell))


def _argument(value: Any) -> Any:
    """`{"bytes": BASE64}` is bytes."""
    return base64.b64decode(value["bytes"]) if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _failure(exc: Exception) -> dict[str, Any]:
    status = getattr(getattr(exc, "response", None), "status_code", None)
    return {"error": type(exc).__name__, "text": str(exc), "status": status}


main()
