"""docs/THREATS.md names tests; they are there, and every threat has one."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs" / "THREATS.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| threat |")
]


def names_in(file: Path) -> set[str]:
    """`test` and `Class::test`, of every test that stands in this file."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        found |= {
            prefix + each.name for each in inside if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_every_threat_has_tests_that_exist(row: list[str]) -> None:
    threat, stops, tests = row
    assert threat
    assert stops
    nodes = re.findall(r"`(tests/[^`]+)`", tests)
    assert nodes
    for node in nodes:
        file, _, name = node.partition("::")
        assert name in names_in(ROOT / file), node
        assert name.rpartition("::")[2].startswith("test_"), node


def test_the_table_is_read() -> None:
    assert len(ROWS) > 45
