"""One run: what came of every picture goes into the manifest, shard by shard, until nothing is left to do."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from api.bulk.manifest import DONE, FAILED, SCHEMA, Manifest
from api.bulk.plan import Plan, failures

__all__ = ["BLOCK", "Figures", "Stop", "Work", "carry_out"]

BLOCK = 1024
"""Most pictures that travel together: what is done again when their worker dies."""

WORKER_LOST = "worker_lost"
_SHARD_ROWS = 100_000
_SHARD_SECONDS, _SHARD_SHARE = 5.0, 0.01
"""A run that is killed loses this much of what it did, or this share: shards stay few, however long it is."""

_MOST_TROUBLE = 200
"""Pictures in a row that fail without a fault of theirs: by then it is the bucket, or the network."""

Work = Callable[[pa.Table, int], Iterable[pa.Table]]
"""Has the rows of plan.WORK done in blocks of so many, and gives what became of them, in any order."""


class Stop(Exception):
    """The work cannot go on; the text says why to the person at the terminal."""


@dataclass(slots=True)
class Figures:
    """Of one run. skipped: done before. failed: now, or before and not tried again."""

    done: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        pace = self.done / self.seconds if self.seconds else 0.0
        return f"{self.done} done, {self.skipped} skipped, {self.failed} failed, {pace:.1f} pictures/s"


@dataclass
class _Diary:
    """Gathers rows until they are worth a shard."""

    manifest: Manifest
    clock: Callable[[], float]
    pending: list[pa.Table] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began_at = self.written_at = self.clock()

    def add(self, rows: pa.Table) -> None:
        if rows:
            self.pending.append(rows)
        now = self.clock()
        due = now - self.written_at >= max(_SHARD_SECONDS, _SHARD_SHARE * (now - self.began_at))
        if due or sum(map(len, self.pending)) >= _SHARD_ROWS:
            self.write()

    def write(self) -> None:
        if self.pending:
            self.manifest.add(self.pending)
            self.pending = []
        self.written_at = self.clock()


def carry_out(
    plan: Plan,
    manifest: Manifest,
    work: Work,
    recipe: str,
    *,
    figures: Figures,
    told: Callable[[pa.Table], None],
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """figures: counts, also when this is interrupted. told: of rows of SCHEMA, as they come.

    recipe: its digest. Raises Stop, OSError (the manifest), and what `work` raises.
    """
    if plan.overwritten:
        manifest.add([plan.overwritten])
    started = clock()
    figures.skipped, figures.failed = plan.skipped, len(plan.standing)
    failed, diary = [plan.standing], _Diary(manifest, clock)
    try:
        for rows in _rows(plan, work, recipe):
            bad = rows.filter(pc.equal(rows["status"], FAILED))
            failed.append(bad)
            figures.failed += len(bad)
            figures.done += len(rows) - len(bad)
            diary.add(rows)
            told(rows)
    finally:
        diary.write()
        figures.seconds = clock() - started
    manifest.write_failures(pa.concat_tables(failed))


def _rows(plan: Plan, work: Work, recipe: str) -> Iterator[pa.Table]:
    """Every picture of the plan that has no row yet, exactly once."""
    yield plan.refused
    ended = np.zeros(len(plan.work), np.bool_)
    trouble = 0
    # A picture that kills its worker takes its block along: the second time each one is alone.
    for block in (BLOCK, 1):
        left = plan.work.filter(pa.array(~ended))
        for rows in work(left, block) if left else ():
            numbers = rows["row"].to_numpy()
            fresh = rows.filter(pa.array(~ended[numbers])).select(SCHEMA.names)
            ended[numbers] = True
            yield fresh
            trouble = _in_a_row(fresh, trouble)
            if trouble >= _MOST_TROUBLE:
                raise Stop(f"stopped: {trouble} pictures in a row have failed without a fault of theirs")
    lost = plan.work.filter(pa.array(~ended))
    yield failures(lost, recipe, WORKER_LOST, "the worker died with this picture, each time", settled=True)


def _in_a_row(rows: pa.Table, before: int) -> int:
    """Failures at the end of these rows and those before that are not the pictures' own."""
    for status, settled in zip(rows["status"].to_pylist(), rows["settled"].to_pylist(), strict=True):
        before = 0 if status == DONE or settled else before + 1
    return before
