import re
from dataclasses import replace
from pathlib import Path

from tests.bench.__main__ import networks
from tests.bench.test_figures import FIGURES


def test_the_page_shows_what_is_kept_and_says_what_is_not(tmp_path: Path) -> None:
    FIGURES.save(tmp_path / "benchmark" / "networks-cpu.json")
    page = networks(tmp_path)
    assert "### On a CPU\n\n`a command`" in page
    assert "| basnet" in page
    assert "- met: basnet, one picture" in page
    assert "None was at hand" in page
    links = re.findall(r"\]\((.*?)\)", page)
    assert len(links) == 2
    assert all((tmp_path / link).is_file() for link in links)


def test_figures_of_a_gpu_stay_on_the_page(tmp_path: Path) -> None:
    FIGURES.save(tmp_path / "benchmark" / "networks-cpu.json")
    replace(FIGURES, device="cuda").save(tmp_path / "benchmark" / "networks-cuda.json")
    page = networks(tmp_path)
    assert page.index("### On a CPU") < page.index("### On a GPU")
    assert "None was at hand" not in page
    assert "images/s at its best batch" in page
