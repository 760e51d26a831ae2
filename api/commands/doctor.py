"""objectcut doctor: is everything here that the service needs?"""

import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.commands.configuration import DataDir, load_settings

if TYPE_CHECKING:
    from api.settings import Settings
    from model.config import EngineConfig

NEEDED = ("objectcut", "torch", "numpy", "opencv-python-headless", "pillow", "fastapi", "uvicorn", "httpx")
USEFUL = {
    "isal": "PNG is written by zlib, some times slower",
    "pysodmetrics": "`objectcut evaluate` needs the extra `evaluate`",
    "tensorboard": "`objectcut train` needs the extra `train`",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. needed: the service does not work without."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


def doctor(
    data_dir: DataDir = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to be served on.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Checks this installation: versions, device, weights, a self-test run, disk, port."""
    settings = load_settings(data_dir=data_dir, port=port)
    checks = list(examine(settings))
    healthy = all(check.ok for check in checks if check.needed)
    if as_json:
        typer.echo(json.dumps({"ok": healthy, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        _show(checks)
    if not healthy:
        raise typer.Exit(1)


def examine(settings: "Settings") -> Iterator[Check]:
    """Every check, cheap ones first."""
    yield Check("python", (3, 11) <= sys.version_info < (3, 14), platform.python_version())
    remote = settings.workers.remote
    yield from (_package(name) for name in NEEDED if not (remote and name == "torch"))
    yield from (_package(name, without) for name, without in USEFUL.items())
    yield _key(settings)
    yield _port(settings.host, settings.port)
    yield _disk(settings.data_dir, settings.store.min_free_bytes)
    if not remote:  # workers test their models themselves
        yield from _models(settings.engine)


def _package(name: str, without: str | None = None) -> Check:
    try:
        return Check(name, True, version(name), needed=without is None)
    except PackageNotFoundError:
        return Check(name, False, without or "not installed", needed=without is None)


def _key(settings: "Settings") -> Check:
    from api.settings import SettingsError

    try:
        settings.access()
        who = "everybody is served" if settings.anonymous else "a key is wanted"
        return Check("access", True, who, needed=False)
    except SettingsError as exc:
        return Check("access", False, str(exc), needed=False)


def _port(host: str, port: int) -> Check:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as listener:
            # As the server does: connections that linger from an earlier run do not hold the port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as exc:
        return Check("port", False, f"{host}:{port}: {exc.strerror}")
    return Check("port", True, f"{host}:{port} is free")


def _disk(folder: Path, floor: int) -> Check:
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    detail = f"{folder}: {free / 1e9:.1f} GB free" if writable else f"{folder}: not writable"
    return Check("disk", writable and free > floor, detail)


def _models(config: "EngineConfig") -> Iterator[Check]:
    """Loads, verifies and self-tests each configured model on the configured device."""
    from model.errors import ModelError
    from model.registry import REGISTRY
    from model.runtimes import check, load

    for name in config.models:
        if name not in REGISTRY:
            yield Check(f"model {name}", False, f"no such model; there are {', '.join(REGISTRY)}")
            continue
        try:
            check(config)
            facts = load(REGISTRY[name], config).facts()
        except (ModelError, ValueError) as exc:
            yield Check(f"model {name}", False, str(exc))
        else:
            how = ", ".join(str(facts[fact]) for fact in ("device_name", "runtime", "precision"))
            detail = f"{how}, sha256 {facts['sha256']}, self-test passed"
            yield Check(f"model {name}", True, detail)


def _show(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False)
    for check in checks:
        mark = "[green]ok" if check.ok else "[red]BROKEN" if check.needed else "[yellow]missing"
        table.add_row(mark, check.name, check.detail)
    Console().print(table)
