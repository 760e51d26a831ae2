"""The manifest: shards that are only added, of which the newest row counts."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from api.bulk.manifest import FAILURES, SCHEMA, Manifest
from api.bulk.places import open_place
from tests.api.bulk.tables import RECIPE, ended, manifest


def test_the_newest_row_of_a_name_counts(tmp_path: Path) -> None:
    target = open_place(str(tmp_path))
    kept = Manifest(target, RECIPE)
    assert kept.latest().schema == SCHEMA
    assert len(kept.latest()) == 0
    kept.add([manifest(ended("a", status="failed", output=None)), manifest(ended("b"), ended("c"))])
    kept.add([manifest(ended("a"), ended("d"))])
    latest = {row["name"]: row for row in Manifest(target, RECIPE).latest().to_pylist()}
    assert latest == {name: ended(name) for name in "abcd"}


def test_runs_never_touch_each_other_s_shards_and_a_shard_tells_its_recipe(tmp_path: Path) -> None:
    target = open_place(str(tmp_path))
    for _ in range(2):
        Manifest(target, RECIPE).add([manifest(ended("a"))])
    shards = list((tmp_path / "_objectcut" / "manifest").iterdir())
    assert len(shards) == 2
    recipe = json.loads(pq.read_schema(shards[0]).metadata[b"recipe"])
    assert recipe["model_sha256"] == "0" * 64
    assert recipe["options"]["model"] == "lite"


def test_failures_are_told_in_lines_of_json(tmp_path: Path) -> None:
    kept = Manifest(open_place(str(tmp_path)), RECIPE)
    kept.write_failures(manifest(ended("ü.jpg", code="corrupt_image", detail="It is damaged.")))
    (line,) = (tmp_path / FAILURES).read_text().splitlines()
    told = json.loads(line)
    assert (told["name"], told["code"], told["detail"]) == ("ü.jpg", "corrupt_image", "It is damaged.")
    assert told["finished_at"].startswith("2026-11-21T00:00:00")
    kept.write_failures(manifest())
    assert (tmp_path / FAILURES).read_bytes() == b""
