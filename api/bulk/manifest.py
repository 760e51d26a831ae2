"""What has become of every picture, in shards of Parquet that are only ever added: the newest row counts.

They lie in `_objectcut/manifest` below the target. One process writes them; a shard is there whole or not at
all, after the results that it tells of; results that are about to be overwritten it takes back before that.
"""

import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from api.bulk.places import OWN, Place
from api.bulk.recipe import Recipe

__all__ = ["DONE", "FAILED", "FAILURES", "SCHEMA", "Manifest"]

DONE, FAILED = "done", "failed"

SCHEMA = pa.schema(
    [
        ("name", pa.string()),  # of the source, from its root
        ("size", pa.int64()),  # of the source, bytes
        ("mtime_ns", pa.int64()),  # of the source, since 1970
        ("sha256", pa.string()),  # of the source's bytes
        ("key", pa.string()),  # of sha256 and recipe
        ("recipe", pa.string()),  # digest; the recipe itself is in the shard's metadata
        ("status", pa.string()),
        ("output", pa.string()),  # from the target's root; null for what has failed
        ("code", pa.string()),  # why: an error of the API, or one of `objectcut bulk`
        ("detail", pa.string()),
        ("settled", pa.bool_()),  # whether the same bytes would meet the same end again
        ("seconds", pa.float64()),  # from the first byte read to the last one written
        ("finished_at", pa.timestamp("ms", tz="UTC")),
    ]
)

_FOLDER = f"{OWN}/manifest"
FAILURES = f"{OWN}/failures.jsonl"


class Manifest:
    """The manifest of one target, and where one run adds to it. Its methods raise OSError."""

    def __init__(self, target: Place, recipe: Recipe) -> None:
        facts = json.dumps(recipe.facts)
        self._target = target
        self._schema = SCHEMA.with_metadata({"recipe": facts})
        self._run = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{token_hex(3)}"
        self._shards = 0

    def latest(self) -> pa.Table:
        """The newest row of every name, in SCHEMA's columns."""
        shards = sorted(self._target.listing(_FOLDER)["name"].to_pylist())
        paths = [f"{self._target.root}/{_FOLDER}/{shard}" for shard in shards]
        rows = ds.dataset(paths, SCHEMA, format="parquet", filesystem=self._target.files).to_table()
        if not rows:
            return rows
        newest = (
            pa.table({"name": rows["name"], "row": range(len(rows))})
            .group_by("name")
            .aggregate([("row", "max")])
        )
        return rows.take(newest["row_max"].sort())

    def add(self, rows: Sequence[pa.Table]) -> None:
        """Writes one shard with the rows of these tables."""
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(rows).cast(self._schema), buffer, compression="zstd")
        name = f"{_FOLDER}/{self._run}-{self._shards:06}.parquet"
        self._target.write(name, buffer.getvalue(), "application/vnd.apache.parquet")
        self._shards += 1

    def write_failures(self, rows: pa.Table) -> None:
        """Tells people, as JSON lines, what has failed and stands so; overwrites what was told before."""
        shown = rows.select(["name", "code", "detail", "sha256", "size", "finished_at"])
        at = pc.strftime(shown["finished_at"], format="%Y-%m-%dT%H:%M:%SZ")
        shown = shown.set_column(shown.schema.get_field_index("finished_at"), "finished_at", at)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in shown.to_pylist())
        self._target.write(FAILURES, lines.encode(), "application/jsonl")
