"""The code blocks of the documents, and how each kind is run."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import photo
from tests.service import KEY

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "clients" / "python" / "README.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if path.parent.name != "reference"),
]
SECONDS = 200.0
"""For a block of a few seconds, on a machine that is busy with others."""

PAGE = """
import { openAsBlob } from "node:fs";
globalThis.window = { CUTOUTS_KEY: process.env.CUTOUTS_KEY };
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

LOADED = """%s
exec python -c 'from api.settings import load; print(load(anonymous=True))'
"""
"""After a block of settings: the service takes them all."""

CALLS = {
    "def product_picture": 'print(len(product_picture(open("photo.jpg", "rb").read(), "a key")))',
}
"""What calls the function that a block defines."""

ADDRESSES = ("http://127.0.0.1:8000", "http://localhost:8000", "https://YOUR-HOST")
"""The service's, in the documents."""

PLACEHOLDERS = {"…": KEY, "key_1f3a9c0b72de": "$(objectcut keys list | grep -o 'key_[0-9a-f]*')"}
"""What a reader puts in the place of these."""


@dataclass(frozen=True)
class Tool:
    """How a block of a kind is run. program: where it is, if it is here. wrap: around the block."""

    program: str | None
    arguments: tuple[str, ...]
    wrap: str = "%s"


_SHELL = shutil.which("curl") and shutil.which("sh")
TOOLS = {
    "sh": Tool(_SHELL, ("-ec",)),
    "settings": Tool(_SHELL, ("-aec",), LOADED),
    "python": Tool(sys.executable, ("-c",)),
    "js node": Tool(shutil.which("node"), ("--input-type=module", "-e")),
    "js browser": Tool(shutil.which("node"), ("--no-warnings", "--input-type=module", "-e"), PAGE),
}


@dataclass(frozen=True)
class Block:
    """Code of a document, whose path is relative to the repository. kind: one of TOOLS, or not run."""

    document: str
    kind: str
    text: str


def blocks() -> list[Block]:
    """All of all documents that are code rather than data."""
    found = []
    for path in DOCUMENTS:
        for language, text in re.findall(
            r"^```(\w+(?: \w+)?)\n(.*?)^```", path.read_text(), re.DOTALL | re.M
        ):
            only_settings = language == "sh" and all(map(_SETTING.match, text.splitlines()))
            kind = "settings" if only_settings else language
            if kind.split()[0] not in {"json", "yaml", "mermaid"}:
                found.append(Block(str(path.relative_to(ROOT)), kind, text))
    return found


_SETTING = re.compile(r"OBJECTCUT_\w+=")


def run(block: Block, service: str, folder: Path, scratch: Path) -> "subprocess.CompletedProcess[str]":
    """Runs it in `folder`, which has photo.jpg and photos/, with the address of a service and its key.

    scratch: for what belongs to the run rather than to the block: the data directory, curl's configuration.
    """
    tool = TOOLS[block.kind]
    assert tool.program
    text = block.text
    for address in ADDRESSES:
        text = text.replace(address, service)
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    text += "".join(call for definition, call in CALLS.items() if definition in block.text)
    (scratch / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    environment = os.environ | {
        "CURL_HOME": str(scratch),
        "OMP_NUM_THREADS": "1",
        "OBJECTCUT_ACCOUNTS__PLANS": '{"pro": {}}',
        "OBJECTCUT_DATA_DIR": str(scratch),
        "CUTOUTS_KEY": KEY,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "clients" / "python")]),
    }
    return subprocess.run(
        [tool.program, *tool.arguments, tool.wrap.replace("%s", text)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def with_photos(folder: Path, body: bytes | None = None) -> set[Path]:
    """Puts there what the blocks begin with, and tells what that is."""
    begin = {folder / "photo.jpg", folder / "photos" / "one.jpg"}
    for path in begin:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(body or photo())
    return begin
