"""Promises about the documents: what they name, that links lead somewhere, that code parses."""

import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from api import problems
from api.app import create_app
from api.options import CutoutOptions
from api.routes.bodies import CutoutRequest
from api.settings import Settings
from docs import plots
from tests.fakes import FakeEngine, InlineDecoder

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IMAGES = sorted((ROOT / "docs" / "images").iterdir())
LARGEST = 300_000
"""Bytes of a picture: pages must load over a slow line, and clones stay small."""
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


def test_figures_are_of_the_tables_that_the_pages_show(tmp_path: Path) -> None:
    plots.main(tmp_path)
    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == [path.name for path in IMAGES if path.suffix == ".svg"]
    for path in drawn:
        kept = (plots.IMAGES / path.name).read_text()
        if f"Matplotlib v{matplotlib.__version__}," not in kept:
            pytest.skip("another release of matplotlib drew them, and may place things otherwise")
        assert kept == path.read_text(), f"{path.name} is stale: run `make docs`"


def test_a_table_is_found_by_its_columns() -> None:
    rows = plots.table(ROOT / "docs" / "models" / "lite.md", "pack", "mean IoU")
    assert (rows[0]["pack"], rows[-1]["pack"]) == ("pairs-clothing", "all")
    assert all(0 < float(row[measure]) < 1 for row in rows for measure in plots.MEASURES)


def test_every_shipped_network_is_in_the_gallery() -> None:
    gallery = (ROOT / "docs" / "GALLERY.md").read_text()
    for weights in (ROOT / "model" / "shipped").glob("*.safetensors"):
        assert f"images/gallery-{weights.stem}.jpg" in gallery


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_pictures_are_small(image: Path) -> None:
    assert image.stat().st_size < LARGEST
