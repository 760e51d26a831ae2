"""The documents' blocks are run, against a service on a real socket, or are named here with a reason."""

import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest
import typer
from starlette.types import ASGIApp
from typer.core import TyperGroup

from api.app import create_app
from api.cli import app as command_line
from api.settings import Settings
from api.storage import MemoryStore, UrlSigner
from tests.blocks import SECONDS, TOOLS, Block, blocks, run, with_photos
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, ScriptedCourier, photo
from tests.listening import listening
from tests.service import KEY

pytestmark = pytest.mark.timeout(1.2 * SECONDS)

DEMO = "is the demo and the service themselves: tests/deploy/test_demo.py, tests/test_walk.py"
HUB = "asks a hub or an index of packages"
SERVES = "serves until it is ended: tests/test_walk.py"
TRAINS = "trains, or wants a data set: tests/model/training, tests/api/commands"
CLUSTER = "wants a Ray cluster: tests/ray"
ELSEWHERE = {
    ("README.md", "make demo"): DEMO,
    ("docs/index.md", "make demo"): DEMO,
    ("clients/python/README.md", "pip install"): HUB,
    ("clients/python/README.md", "delivery ="): "a part of a function: tests/clients_python/test_webhooks.py",
    ("docs/BULK.md", "pip install"): HUB,
    ("docs/BULK.md", "duckdb"): CLUSTER,
    ("docs/BULK.md", "objectcut bulk"): CLUSTER,
    ("docs/COMPATIBILITY.md", "objectcut paste-server"): "serves, to Photoshop: tests/api/paste",
    ("docs/JOBS.md", "import base64"): "tests/api/jobs/test_signing.py runs it",
    ("docs/JOBS.md", "const { createHmac"): "tests/api/jobs/test_signing.py runs it",
    ("docs/KUBERNETES.md", "kubectl"): "wants a cluster: tests/deploy/test_kubernetes.py",
    ("docs/OBSERVABILITY.md", "pip install"): HUB,
    ("docs/OPERATIONS.md", "export"): "serves on several machines: tests/deploy",
    ("docs/OPERATIONS.md", "mkdir"): "wants Docker and root: tests/deploy/test_containers.py",
    ("docs/OPERATIONS.md", "COMPOSE_PROFILES"): "wants Docker: tests/deploy/test_containers.py",
    ("docs/RAY.md", "pip install"): CLUSTER,
    ("docs/RAY.md", "RAY_SERVE_ENABLE_HA_PROXY"): CLUSTER,
    ("docs/RAY.md", "FROM"): "an image for Docker",
    ("docs/TRAINING.md", "objectcut train finetune"): TRAINS,
    ("docs/TRAINING.md", "objectcut train basnet"): TRAINS,
    ("docs/TRAINING.md", "objectcut evaluate"): TRAINS,
    ("docs/TRAINING.md", "objectcut propose"): TRAINS,
    ("docs/models/README.md", "objectcut models pull"): HUB,
    ("docs/models/lite.md", "objectcut train"): TRAINS,
    ("docs/tutorials/GPU.md", "pip install"): HUB,
    ("docs/tutorials/GPU.md", "objectcut models pull"): HUB,
    ("docs/tutorials/GPU.md", "export OBJECTCUT_ENGINE__DEVICE=cuda"): "wants a GPU",
    ("docs/tutorials/SHOP.md", "objectcut keys create"): SERVES,
}
"""(document, beginning of the block): why it is not run here. Its commands are parsed all the same."""


@dataclass(frozen=True)
class Services:
    """Addresses. keyed: wants KEY. open: serves everybody, as `make serve` does."""

    keyed: str
    open: str


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Everything of the service but its network and the web."""
    pages = {f"https://example.com/{name}.jpg": photo() for name in ("photo", "1", "2")}

    def serve(*, anonymous: bool) -> str:
        directory = tmp_path_factory.mktemp("service")

        def app(url: str) -> ASGIApp:
            return create_app(
                Settings(secret_access=KEY, anonymous=anonymous, cpu_jobs=1, data_dir=directory),
                fetcher=FakeFetcher(pages),
                decoder=InlineDecoder(),
                engine=FakeEngine(),
                store=MemoryStore(UrlSigner([b"k" * 32], url)),
                courier=ScriptedCourier(),
            )

        return stack.enter_context(listening(app))

    with ExitStack() as stack:
        yield Services(serve(anonymous=False), serve(anonymous=True))


def reasons(block: Block) -> list[str]:
    """Why it is not run: at most one."""
    return [
        reason
        for (document, beginning), reason in ELSEWHERE.items()
        if document == block.document and block.text.startswith(beginning)
    ]


BLOCKS = blocks()
HERE = [block for block in BLOCKS if not reasons(block)]


@pytest.mark.parametrize(
    "block",
    [pytest.param(each, id=f"{n} {each.kind} of {each.document}") for n, each in enumerate(HERE)],
)
def test_a_block_does_what_it_says(block: Block, services: Services, tmp_path: Path) -> None:
    if TOOLS[block.kind].program is None:
        pytest.skip(f"there is no program for {block.kind} here")
    folder, scratch = tmp_path / "folder", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    begin = with_photos(folder)
    service = services.keyed if "KEY" in block.text else services.open
    done = run(block, service, folder, scratch)
    assert done.returncode == 0, done.stderr + done.stdout
    made = {path for path in folder.rglob("*") if path.is_file()} - begin
    assert done.stdout or made
    for path in made - {folder / "cutouts.zip"}:
        assert cv2.imread(str(path)) is not None, path.name


def test_there_is_one_of_each_kind() -> None:
    assert {block.kind for block in HERE} == set(TOOLS)


@pytest.mark.parametrize("named", ELSEWHERE, ids=": ".join)
def test_what_is_not_run_is_there_and_its_reason_leads_to_tests(named: tuple[str, str]) -> None:
    document, beginning = named
    assert [b.document for b in BLOCKS if b.text.startswith(beginning)].count(document) == 1
    for path in re.findall(r"tests/[\w/.]+", ELSEWHERE[named]):
        assert (Path(__file__).parents[1] / path).exists(), path


COMMANDS = [
    shlex.split(words, comments=True)
    for block in BLOCKS
    if block.kind == "sh"
    for words in re.findall(r"(?:^|--no-python )objectcut (.+)", block.text, re.MULTILINE)
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_are_spelt_right(words: list[str]) -> None:
    command, rest = typer.main.get_command(command_line), list(words)
    while isinstance(command, TyperGroup):
        command = command.commands[rest.pop(0)]
    context = command.make_context(command.name, [], resilient_parsing=True)
    _, too_many, _ = command.make_parser(context).parse_args(rest)
    assert too_many == []
