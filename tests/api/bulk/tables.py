"""Rows for tests of `objectcut bulk`."""

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from api.bulk.manifest import SCHEMA
from api.bulk.places import Place
from api.bulk.plan import WORK
from api.bulk.recipe import Recipe
from api.options import CutoutOptions

RECIPE = Recipe(CutoutOptions(), "0" * 64)
SUFFIXES = frozenset({".jpg", ".png"})


def listing(*names: str, utf8: bool = True) -> pa.Table:
    """As Place.listing tells it."""
    columns = {"name": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(), "utf8": pa.bool_()}
    rows = [{"name": name, "size": 7, "mtime_ns": 9, "utf8": utf8} for name in names]
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))


def ended(name: str, **more: Any) -> dict[str, Any]:
    """A row of the manifest: done, unless `more` says else."""
    row = {"name": name, "size": 7, "mtime_ns": 9, "sha256": "5" * 64, "key": f"key of {name}"}
    row |= {"recipe": RECIPE.digest, "status": "done", "output": f"{name}.png", "settled": True}
    row |= {"code": None, "detail": None, "seconds": 0.5, "finished_at": datetime(2026, 11, 21, tzinfo=UTC)}
    return row | more


def manifest(*rows: dict[str, Any]) -> pa.Table:
    """A table of manifest.SCHEMA."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def work(*names: str, **more: Any) -> pa.Table:
    """A table of plan.WORK."""
    rows = [{"row": row, "name": name, "size": 7, "mtime_ns": 9} | more for row, name in enumerate(names)]
    return pa.Table.from_pylist(rows, schema=WORK)


def files(place: Place) -> dict[str, bytes]:
    """All of a place, by name."""
    return {name: place.read(name, 10**6) for name in place.listing()["name"].to_pylist()}
