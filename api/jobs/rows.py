"""Rows of the database as records, and the statements that more than one place needs."""

from sqlite3 import Connection, Row
from typing import cast

from api.jobs.records import Item, JobRecord, Status, Task

_TASK = (
    "SELECT jobs.*, items.position, items.source, items.attempts, items.cutout"
    " FROM items JOIN jobs ON number = job WHERE "
)
RUNNING = f"{_TASK} items.status = 'running'"
NEXT = (
    f"{_TASK} items.status = 'queued' AND items.bucket = ? AND due <= ? ORDER BY items.job, position LIMIT 1"
)


def find_job(connection: Connection, id: str, owner: str, now: float) -> JobRecord | None:
    """The owner's job, if it is not over."""
    row = connection.execute("SELECT * FROM jobs WHERE id = ? AND owner = ?", (id, owner)).fetchone()
    if row is None or (row["finished_at"] is not None and row["finished_at"] + row["life"] <= now):
        return None
    return of_job(connection, row, now)


def of_job(connection: Connection, row: Row, now: float) -> JobRecord:
    """A row of `jobs` with its items."""
    items = tuple(
        Item(each["position"], each["source"], each["status"], each["changed"], each["cutout"], each["error"])
        if each["status"] != "running"  # what is settled and not paid for yet is nobody's
        else Item(each["position"], each["source"], "running", each["changed"], None, None)
        for each in connection.execute(
            "SELECT * FROM items WHERE job = ? ORDER BY position", (row["number"],)
        )
    )
    begun = any(item.status != "queued" for item in items)
    status = row["status"] or ("running" if begun else "queued")
    finished_at = row["finished_at"]
    ends_at = (now if finished_at is None else finished_at) + row["life"]
    return JobRecord(
        row["id"],
        cast(Status, status),
        row["created_at"],
        finished_at,
        ends_at,
        row["sequence"],
        row["fingerprint"],
        items,
    )


def of_task(row: Row, source: str | bytes, background: str | bytes | None, begun: int = 0) -> Task:
    """A row of RUNNING or NEXT. begun: how often since it was read."""
    return Task(
        row["number"],
        row["position"],
        row["id"],
        row["owner"],
        row["bucket"],
        row["plan"],
        row["request_id"],
        row["options"],
        row["life"],
        row["created_at"],
        row["attempts"] + begun,
        source,
        background,
    )


def bump(connection: Connection, number: int) -> int:
    """Counts one change of the job; its number."""
    connection.execute("UPDATE jobs SET sequence = sequence + 1 WHERE number = ?", (number,))
    (sequence,) = connection.execute("SELECT sequence FROM jobs WHERE number = ?", (number,)).fetchone()
    return int(sequence)
