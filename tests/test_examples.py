"""Every block of docs/EXAMPLES.md is run, against a service on a real socket."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
from starlette.types import ASGIApp

from api.app import create_app
from api.settings import Settings
from api.storage import MemoryStore, UrlSigner
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, photo
from tests.listening import listening
from tests.service import KEY

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:8000"
BLOCKS = re.findall(r"```(\w+(?: \w+)?)\n(.*?)```", (ROOT / "docs" / "EXAMPLES.md").read_text(), re.DOTALL)
PAGE = """
import { openAsBlob } from "node:fs";
globalThis.window = { OBJECTCUT_KEY: process.env.OBJECTCUT_KEY };
const photo = await openAsBlob("photo.jpg");
let listener;
const input_ = { files: [photo], addEventListener: (_, heard) => (listener = heard) };
const elements = { img: {}, "input[type=file]": input_ };
globalThis.document = { querySelector: (name) => elements[name] };
URL.createObjectURL = (blob) => `${blob.type} of ${blob.size} bytes`;
%s
await listener();
console.log(elements.img.src);
"""
"""What a browser would be, for the block in its middle."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Everything of the service but its network and the web."""
    directory = tmp_path_factory.mktemp("service")

    def app(url: str) -> ASGIApp:
        return create_app(
            Settings(secret_access=KEY, cpu_jobs=1, data_dir=directory),
            fetcher=FakeFetcher({"https://example.com/photo.jpg": photo()}),
            decoder=InlineDecoder(),
            engine=FakeEngine(),
            store=MemoryStore(UrlSigner([b"k" * 32], url)),
        )

    with listening(app) as url:
        yield url


@dataclass(frozen=True)
class Tool:
    """How a block of a kind is run. program: where it is, if it is here. wrap: around the block."""

    program: str | None
    arguments: tuple[str, ...]
    wrap: str = "%s"


TOOLS = {
    "sh": Tool(shutil.which("curl") and shutil.which("sh"), ("-ec",)),
    "python": Tool(sys.executable, ("-c",)),
    "js node": Tool(shutil.which("node"), ("--input-type=module", "-e")),
    "js browser": Tool(shutil.which("node"), ("--no-warnings", "--input-type=module", "-e"), PAGE),
}


@pytest.mark.parametrize(
    ("kind", "block"), [pytest.param(*each, id=f"{n} {each[0]}") for n, each in enumerate(BLOCKS)]
)
def test_a_block_does_what_it_says(kind: str, block: str, service: str, tmp_path: Path) -> None:
    tool = TOOLS[kind]
    if tool.program is None:
        pytest.skip(f"there is no program for {kind} here")
    (tmp_path / "photo.jpg").write_bytes(photo())
    environment = os.environ | {"OBJECTCUT_KEY": KEY, "PYTHONPATH": str(ROOT / "clients" / "python")}
    done = subprocess.run(
        [tool.program, *tool.arguments, tool.wrap.replace("%s", block.replace(ADDRESS, service))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert block.count(ADDRESS)
    made = {path.name for path in tmp_path.iterdir()} - {"photo.jpg"}
    assert done.stdout or made
    for name in made - {"cutouts.zip"}:
        assert cv2.imread(str(tmp_path / name)) is not None, name


def test_there_is_one_of_each_kind() -> None:
    assert {kind for kind, _ in BLOCKS} == set(TOOLS)
