"""The service on a real socket, with keys, for clients that run as processes of their own."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.accounts import Accounts, AccountsConfig
from api.accounts.keys import KeyRecord, make_key, thousandths
from api.app import create_app
from api.settings import Settings
from tests.clients.install import MODULES, NODE_CLI, PYTHON
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, MemoryLedger, memory_store, photo
from tests.listening import listening

HERE = Path(__file__).parent
PHOTO_URL = "https://img.example/photo.jpg"
SKY_URL = "https://img.example/sky.png"
SECONDS = 60
NODE = shutil.which("node")


@dataclass(frozen=True)
class Service:
    """Where it is, and keys: one with 10 credits, one with half a credit, one of one request a minute."""

    url: str
    rich: str
    poor: str
    hasty: str


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Everything is real but the network, the web that it downloads from, and where keys are kept."""
    ledger = MemoryLedger()
    config = AccountsConfig.model_validate({"plans": {"hasty": {"requests_per_minute": 1}}})
    keys = [_key(ledger, "default", 10), _key(ledger, "default", 0.5), _key(ledger, "hasty", None)]
    app = create_app(
        Settings.model_validate({"secret_access": "the-operator-s-own", "cpu_jobs": 1}),
        fetcher=FakeFetcher({PHOTO_URL: photo(480, 360), SKY_URL: photo(50, 50, ".png")}),
        decoder=InlineDecoder(),
        engine=FakeEngine(),
        store=memory_store(),
        accounts=Accounts(config, ledger),
    )
    with listening(lambda _: app) as url:
        yield Service(url, *keys)


def _key(ledger: MemoryLedger, plan: str, credits: float | None) -> str:
    key, id, digest = make_key()
    amount = None if credits is None else thousandths(credits)
    asyncio.run(ledger.add(KeyRecord(id, digest, plan, "", 0, balance=amount, granted=amount)))
    return key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a photo of 480 x 360 px, where the client works."""
    (tmp_path / "photo.jpg").write_bytes(photo(480, 360))
    return tmp_path


def run(
    command: Sequence[str | Path], service: Service, folder: Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """A client's process, led to the service instead of to api.remove.bg."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {
        "CLIENTS_BASE_URL": service.url,
        "PYTHONPATH": str(HERE / "redirect"),
        "NODE_OPTIONS": f"--require {HERE / 'redirect' / 'redirect.cjs'}",
        "NODE_PATH": str(MODULES),
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def call_python(
    service: Service, folder: Path, module: str, arguments: Sequence[object], calls: Sequence[object]
) -> list[dict[str, Any]]:
    """What each call of a PyPI client's class RemoveBg gave: see drive.py."""
    if not PYTHON.exists():
        pytest.skip("not installed: make test-clients")
    texts = (json.dumps(arguments), json.dumps(calls))
    done = run([PYTHON, HERE / "drive.py", module, "RemoveBg", *texts], service, folder)
    assert done.returncode == 0, done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def call_npm(service: Service, folder: Path, function: str, options: Mapping[str, object]) -> dict[str, Any]:
    """What the npm package's function gave: see drive.cjs."""
    if not (NODE and (MODULES / "remove.bg").exists()):
        pytest.skip("not installed: make test-clients")
    done = run(["node", HERE / "drive.cjs", function, json.dumps(options)], service, folder)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def run_node_cli(
    service: Service, folder: Path, *arguments: str, key: str
) -> "subprocess.CompletedProcess[str]":
    """remove-bg-cli with these arguments."""
    if not (NODE and (NODE_CLI / "node_modules").exists()):
        pytest.skip("remove-bg-cli is in no registry, and its repository was out of reach")
    return run(["node", NODE_CLI / "cli.js", *arguments], service, folder, REMOVE_BG_API_KEY=key)
