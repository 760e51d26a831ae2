"""A newcomer's walk: the real service with the shipped network, a photo of one's own, README's requests."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import cv2
import httpx
import numpy as np
import pytest
from skimage import data

from deploy.demo import shares
from tests.blocks import TOOLS, Block, blocks, run, with_photos
from tests.web.server import START_SECONDS, serve

pytestmark = pytest.mark.timeout(2 * START_SECONDS)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What `make serve` starts."""
    with serve(tmp_path_factory.mktemp("data")) as origin:
        yield origin


def test_the_page_answers_with_all_that_it_is_made_of(origin: str) -> None:
    page = httpx.get(origin).raise_for_status()
    assert page.headers["content-type"].startswith("text/html")
    parts = re.findall(r'(?:src|href)="([\w./-]+\.(?:css|js|svg|jpg))"', page.text)
    assert {Path(part).suffix for part in parts} >= {".css", ".js"}
    for part in parts:
        assert httpx.get(urljoin(origin, part)).raise_for_status().content


README = [block for block in blocks() if block.document == "README.md"]
UPLOADS = [block for block in README if "photo.jpg" in block.text and "example.com" not in block.text]


@pytest.mark.parametrize("block", UPLOADS, ids=lambda block: block.kind)
def test_an_own_photo_becomes_a_cutout(block: Block, origin: str, tmp_path: Path) -> None:
    if TOOLS[block.kind].program is None:
        pytest.skip(f"there is no program for {block.kind} here")
    folder, scratch = tmp_path / "folder", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    with_photos(folder, cv2.imencode(".jpg", data.coffee()[..., ::-1])[1].tobytes())  # type: ignore[no-untyped-call]
    done = run(block, origin, folder, scratch)
    assert done.returncode == 0, done.stderr + done.stdout
    if block.kind == "sh":
        edge, subject = shares((folder / "cutout.png").read_bytes())
        assert 0.001 < edge < 0.4
        assert 0.2 < subject < 0.8
    else:
        answer = httpx.get(done.stdout.strip()).raise_for_status()
        cropped = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert cropped is not None
        assert 0.2 < cropped.size / data.coffee().size < 0.9  # type: ignore[no-untyped-call]


def test_readme_uploads_from_the_shell_and_from_python() -> None:
    assert [block.kind for block in UPLOADS] == ["sh", "python"]
