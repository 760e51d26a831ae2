"""Attributes of pictures, read from what benchmarks come with."""

from pathlib import Path

import pytest

from api.commands.scoresheet import read_attributes


def test_from_folders(tmp_path: Path) -> None:
    for file in ("SOC-AC/gt/a.png", "SOC-AC/gt/b.png", "SOC-BO/b.png", "c.png", "SOC-BO/readme.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert read_attributes(tmp_path) == {"SOC-AC": {"a", "b"}, "SOC-BO": {"b"}}


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        pytest.param("name,attributes\na,AC BO\nb,BO\n", {"AC": {"a"}, "BO": {"a", "b"}}, id="spaces"),
        pytest.param("a.jpg,AC,BO\n\n", {"AC": {"a"}, "BO": {"a"}}, id="columns, no head"),
        pytest.param("a,AC;BO\nb\n", {"AC": {"a"}, "BO": {"a"}}, id="semicolons, and one without"),
    ],
)
def test_from_a_table(tmp_path: Path, text: str, attributes: dict[str, set[str]]) -> None:
    (tmp_path / "attributes.csv").write_text(text)
    assert read_attributes(tmp_path / "attributes.csv") == attributes


def test_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no attribute"):
        read_attributes(tmp_path)
