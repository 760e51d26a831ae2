"""A Python of its own for one task: nothing of this process but where its modules are."""

import json
import sys

__all__ = ["command"]


def command(module: str) -> list[str]:
    """The program and its arguments that call the `main` of `module`; further ones may follow.

    Without a shell. `-I` keeps the environment and the working folder out, so the path of modules is told.
    """
    start = f"import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from {module} import main; main()"
    return [sys.executable, "-I", "-c", start, json.dumps(sys.path)]
