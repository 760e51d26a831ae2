"""Installs the clients into .clients/, which git ignores. What cannot be had is told and left out.

python -m tests.clients.install
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".clients"
PYTHON = FOLDER / "venv" / "bin" / "python"
MODULES = FOLDER / "node_modules"
NODE_CLI = FOLDER / "remove-bg-cli"
NODE_CLI_SOURCE = "https://github.com/remove-bg/remove-bg-cli"
NODE_CLI_COMMIT = "3dca0d93a5c2c22a6f5d4195c3a279df1309d9ee"
SECONDS = 600.0
"""That one step may take: npm compiles."""
SETUPTOOLS = "setuptools==75.3.2"
"""removebg 0.04 is a source of 2019 whose setup.cfg later ones refuse."""


def main() -> int:
    """Each family of clients on its own; 0 whatever was left out."""
    FOLDER.mkdir(exist_ok=True)
    for name, install in (("PyPI", from_pypi), ("npm", from_npm), ("remove-bg-cli", node_cli)):
        try:
            missing = install()
        except (OSError, subprocess.SubprocessError) as exc:
            missing = str(exc)
        say(f"{name}: {f'SKIPPED: {missing}' if missing else 'installed'}")
    return 0


def from_pypi() -> str | None:
    """The clients of requirements.txt, in an environment of their own. What is missing, if anything is."""
    locked = HERE / "requirements.txt"
    if _fresh(FOLDER / "pypi.lock", locked):
        return None
    venv.create(FOLDER / "venv", with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(*pip, SETUPTOOLS)
    _run(*pip, "--no-build-isolation", "--requirement", str(locked))
    shutil.copy(locked, FOLDER / "pypi.lock")
    return None


def from_npm() -> str | None:
    """The packages of package-lock.json. What is missing, if anything is."""
    if missing := _missing("node", "npm"):
        return missing
    locked = HERE / "package-lock.json"
    if _fresh(FOLDER / "npm.lock", locked):
        return None
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, FOLDER / name)
    _run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=FOLDER)
    shutil.copy(locked, FOLDER / "npm.lock")
    return None


def node_cli() -> str | None:
    """The command-line client for Node, which is in no registry, from its repository; `canvas` is compiled.

    A checkout that is there already is taken as it is. What is missing, if anything is.
    """
    if missing := _missing("git", "node", "npm"):
        return missing
    if not (NODE_CLI / "cli.js").exists():
        _run("git", "init", "--quiet", str(NODE_CLI))
        _run("git", "fetch", "--quiet", "--depth", "1", NODE_CLI_SOURCE, NODE_CLI_COMMIT, cwd=NODE_CLI)
        _run("git", "checkout", "--quiet", "FETCH_HEAD", cwd=NODE_CLI)
    if not (NODE_CLI / "node_modules").exists():
        _run("npm", "install", "--omit=dev", "--no-audit", "--no-fund", cwd=NODE_CLI)
    return None


def _fresh(mark: Path, locked: Path) -> bool:
    """Whether what is installed is what is locked."""
    return mark.exists() and mark.read_bytes() == locked.read_bytes()


def _missing(*programs: str) -> str | None:
    absent = [program for program in programs if shutil.which(program) is None]
    return f"no {' and no '.join(absent)} on this machine" if absent else None


def _run(*command: str, cwd: Path | None = None) -> None:
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(command, cwd=cwd, env=environment, check=True, timeout=SECONDS)


def say(line: str) -> None:
    """To whoever runs make."""
    sys.stdout.write(f"clients: {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
