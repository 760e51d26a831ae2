"""Promises about the documents: what they name, that links lead somewhere, that code parses."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from api import problems
from api.app import create_app
from api.options import CutoutOptions
from api.routes.bodies import CutoutRequest
from api.settings import Settings
from tests.fakes import FakeEngine, InlineDecoder

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
API = (ROOT / "docs" / "API.md").read_text()


@pytest.mark.parametrize("option", sorted({*CutoutOptions.model_fields, *CutoutRequest.model_fields}))
def test_every_option_is_documented(option: str) -> None:
    assert f"`{option}`" in API


@pytest.mark.parametrize("code", sorted({kind.code for kind in problems.kinds()}))
def test_every_error_is_documented(code: str) -> None:
    assert f"`{code}`" in API


def test_every_route_is_documented() -> None:
    settings = Settings.model_validate({"anonymous": True, "store": {"kind": "memory"}})
    paths = create_app(settings, engine=FakeEngine(), decoder=InlineDecoder()).openapi()["paths"]
    assert [path for path in paths if not re.search(rf"{re.escape(path)}[`,\n]", API)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    prose = re.sub(r"`[^`]*`", "", document.read_text())
    for target in re.findall(r"\]\(([^)#\s]+)\)", prose):
        if not target.startswith(("http://", "https://")):
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_in_documents_parses(document: Path) -> None:
    for block in re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL):
        compile(block, str(document), "exec")


def test_every_page_has_its_place_on_the_site() -> None:
    pages = {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}
    assert set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)) == pages


def test_the_site_builds_and_asks_nobody(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    pages = list(tmp_path.glob("**/*.html"))
    assert len(pages) >= len(list(ROOT.glob("docs/**/*.md")))
    for page in pages:
        assert (
            re.findall(
                r"<(?:script|img)[^>]*src=.?https?:|<link[^>]*stylesheet[^>]*https?:", page.read_text()
            )
            == []
        )


def test_make_verbs_in_documents_exist() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), re.MULTILINE))
        assert named <= verbs, document.name
