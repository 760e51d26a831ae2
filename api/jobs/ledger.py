"""What has been accepted and what has become of it: every change is a transaction on the disk."""

import time
from collections.abc import Callable, Set
from sqlite3 import Connection, Row

from api.errors import IdempotencyMismatch, Overloaded, RateLimited
from api.jobs import rows
from api.jobs.config import JobsConfig
from api.jobs.database import Database
from api.jobs.records import BACKGROUND, IMAGE, JobRecord, NewJob, Task
from api.jobs.rows import of_task

_FULL_RETRY_SECONDS = 30.0
_PAGES = 20_000
"""Given back to the file system at a time: 80 MB."""


class JobLedger:
    """Jobs and their pictures. Every method raises JobsUnavailable. clock: seconds since 1970."""

    def __init__(
        self, database: Database, config: JobsConfig, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._config, self._clock = database, config, clock
        self._served: dict[str, int] = {}
        self._turn = 0

    async def add(self, job: NewJob) -> JobRecord:
        """Accepts a job: from the return on, it will be worked on whatever happens to the process.

        The job of before when its `once` is known. Raises IdempotencyMismatch: that was made by another
        request. RateLimited, Overloaded: too much is waiting, of this caller or of all.
        """

        def add(connection: Connection) -> JobRecord:
            if known := self._known(connection, job):
                return known
            self._require_room(connection, job)
            return self._insert(connection, job)

        return await self._database.write(add)

    async def find(self, id: str, owner: str) -> JobRecord | None:
        """None: unknown, expired, or another caller's."""
        return await self._database.read(
            lambda connection: rows.find_job(connection, id, owner, self._clock()), None
        )

    async def remove(self, id: str, owner: str) -> JobRecord | None:
        """Cancels a job, or removes one that has ended; as it was before. Its uploads and webhook go."""

        def remove(connection: Connection) -> JobRecord | None:
            found = rows.find_job(connection, id, owner, self._clock())
            if found is None:
                return None
            if found.finished_at is not None:
                connection.execute("DELETE FROM jobs WHERE id = ?", (id,))
                return found
            (number,) = connection.execute("SELECT number FROM jobs WHERE id = ?", (id,)).fetchone()
            kept = connection.execute(
                "SELECT position FROM items WHERE job = ? AND status != 'failed'", (number,)
            ).fetchall()
            connection.executemany(
                "UPDATE items SET status = 'cancelled', cutout = NULL, changed = ?"
                " WHERE job = ? AND position = ?",
                [(rows.bump(connection, number), number, row["position"]) for row in kept],
            )
            self._end(connection, number, "cancelled")
            return found

        return await self._database.write(remove) if self._database.exists() else None

    async def next_due(self) -> float | None:
        """When the next picture may be begun; None when none is waiting."""

        def select(connection: Connection) -> float | None:
            found = connection.execute("SELECT min(due) FROM items WHERE status = 'queued'").fetchone()
            return None if found[0] is None else float(found[0])

        return await self._database.read(select, None)

    async def claim(self) -> Task | None:
        """Takes on the next picture that is due: callers have their turn one after the other."""
        return await self._database.write(self._claim)

    async def settle(self, task: Task, cutout: str) -> bool:
        """Notes what has been stored, before it is paid for. False: the picture is not wanted any more."""

        def update(connection: Connection) -> bool:
            done = connection.execute(f"UPDATE items SET cutout = ? {_MINE}", (cutout, *task.place))  # noqa: S608 (constants)
            return done.rowcount == 1

        return await self._database.write(update)

    async def succeed(self, task: Task) -> bool:
        """Ends a picture that has been settled. False: it is not wanted any more."""
        return await self._database.write(
            lambda connection: (
                self._finish(connection, task, "status = 'succeeded'") or _has_succeeded(connection, task)
            )
        )

    async def fail(self, task: Task, error: str) -> bool:
        """Ends a picture with an error, JSON. False: it is not wanted any more."""
        return await self._database.write(
            lambda connection: self._finish(
                connection, task, "status = 'failed', cutout = NULL, error = ?", error
            )
        )

    async def postpone(self, task: Task, due: float, *, counted: bool) -> bool:
        """Back into the queue. counted: whether this attempt was one. False: it is not wanted any more."""

        def update(connection: Connection) -> bool:
            sets = "status = 'queued', cutout = NULL, due = ?, attempts = attempts - ?"
            return _change(connection, task, sets, due, int(not counted))

        return await self._database.write(update)

    async def release(self, task: Task) -> None:
        """Leaves a picture to whoever works next, as if it had not been begun; not what has been settled."""
        await self._database.write(
            lambda connection: _change(
                connection, task, "status = 'queued', attempts = attempts - 1", only="AND cutout IS NULL"
            )
        )

    async def disown(self, kept: Set[tuple[int, int]]) -> None:
        """Queues again what is taken on by nobody: all but the `kept` places, as if it had not been begun.

        Only for the one process that works on jobs, while it claims nothing.
        """

        def disown(connection: Connection) -> None:
            for row in connection.execute(rows.RUNNING).fetchall():
                if (task := of_task(row, b"", None)).place not in kept:
                    _change(connection, task, "status = 'queued', attempts = attempts - 1")

        await self._database.write(disown)

    async def recover(self, given_up: Callable[[Task], str]) -> int:
        """Puts right what a process that has ended left behind; how many pictures that were.

        Only for the one process that works on jobs, before it begins. What had been stored and noted is done
        (and not charged again: whether it was is not known); the rest is queued again, but a picture that was
        begun too often, and may be what ends the process, has failed: given_up makes its error, JSON.
        """

        def recover(connection: Connection) -> int:
            left = connection.execute(rows.RUNNING).fetchall()
            for task, settled in [(of_task(row, b"", None), row["cutout"]) for row in left]:
                if settled is not None:
                    self._finish(connection, task, "status = 'succeeded'")
                elif task.attempts >= self._config.attempts:
                    self._finish(connection, task, "status = 'failed', error = ?", given_up(task))
                else:
                    _change(connection, task, "status = 'queued'")
            return len(left)

        return await self._database.write(recover) if self._database.exists() else 0

    async def sweep(self) -> int:
        """Removes what has expired, and gives its space back; how many jobs that were."""

        def sweep(connection: Connection) -> int:
            removed = connection.execute(
                "DELETE FROM jobs WHERE finished_at IS NOT NULL AND finished_at + life <= ?"
                " AND number NOT IN (SELECT job FROM deliveries)",
                (self._clock(),),
            )
            return removed.rowcount

        if not self._database.exists():
            return 0
        removed = await self._database.write(sweep)
        # Outside of a transaction: it is many small ones.
        await self._database.read(
            lambda connection: connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})"), None
        )
        return removed

    # What follows runs in the database's thread, inside of a transaction.

    def _known(self, connection: Connection, job: NewJob) -> JobRecord | None:
        if job.once is None:
            return None
        oldest = self._clock() - self._config.answers_seconds
        connection.execute(
            "UPDATE jobs SET once = NULL WHERE bucket = ? AND once = ? AND created_at < ?",
            (job.bucket, job.once, oldest),
        )
        row = connection.execute(
            "SELECT * FROM jobs WHERE bucket = ? AND once = ?", (job.bucket, job.once)
        ).fetchone()
        if row is None:
            return None
        if row["fingerprint"] != job.fingerprint:
            raise IdempotencyMismatch()
        return rows.of_job(connection, row, self._clock())

    def _require_room(self, connection: Connection, job: NewJob) -> None:
        (unfinished,) = connection.execute(
            "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND bucket = ?", (job.bucket,)
        ).fetchone()
        if unfinished >= self._config.per_caller:
            raise RateLimited(
                f"{job.owner}: {unfinished} unfinished jobs",
                public="Too many unfinished jobs.",
                retry_after=_FULL_RETRY_SECONDS,
            )
        (items,) = connection.execute(
            "SELECT count(*) FROM items JOIN jobs ON job = number WHERE finished_at IS NULL"
            " AND items.status IN ('queued', 'running')"
        ).fetchone()
        (size,) = connection.execute("SELECT coalesce(sum(size), 0) FROM uploads").fetchone()
        wanted = sum(map(len, job.uploads.values()))
        if items + len(job.sources) > self._config.queued_images:
            raise Overloaded(f"{items} pictures are waiting", retry_after=_FULL_RETRY_SECONDS)
        if size + wanted > self._config.queued_bytes:
            raise Overloaded(f"{size} bytes are waiting", retry_after=_FULL_RETRY_SECONDS)

    def _insert(self, connection: Connection, job: NewJob) -> JobRecord:
        now = self._clock()
        columns = "id, owner, bucket, plan, request_id, options, background, life, webhook, once, fingerprint"
        values = [getattr(job, name) for name in columns.split(", ")]
        number = connection.execute(
            f"INSERT INTO jobs ({columns}, created_at) VALUES ({'?, ' * len(values)}?)",  # noqa: S608 (constants)
            (*values, now),
        ).lastrowid
        connection.executemany(
            "INSERT INTO items (job, position, source, bucket, due) VALUES (?, ?, ?, ?, ?)",
            [(number, position, source, job.bucket, now) for position, source in enumerate(job.sources)],
        )
        connection.executemany(
            "INSERT INTO uploads (job, name, size, data) VALUES (?, ?, ?, ?)",
            [(number, name, len(data), data) for name, data in job.uploads.items()],
        )
        row = connection.execute("SELECT * FROM jobs WHERE number = ?", (number,)).fetchone()
        return rows.of_job(connection, row, now)

    def _claim(self, connection: Connection) -> Task | None:
        now = self._clock()
        found = connection.execute(
            "SELECT DISTINCT bucket FROM items WHERE status = 'queued' AND due <= ?", (now,)
        )
        waiting = {row["bucket"]: self._served.get(row["bucket"], 0) for row in found}
        if not waiting:
            return None
        bucket = min(waiting, key=waiting.__getitem__)
        self._turn += 1
        self._served = waiting | {bucket: self._turn}
        row: Row = connection.execute(rows.NEXT, (bucket, now)).fetchone()
        connection.execute(
            "UPDATE items SET status = 'running', attempts = attempts + 1, changed = ?"
            " WHERE job = ? AND position = ?",
            (rows.bump(connection, row["number"]), row["number"], row["position"]),
        )
        data = dict(
            connection.execute("SELECT name, data FROM uploads WHERE job = ?", (row["number"],)).fetchall()
        )
        source = data[IMAGE] if row["source"] is None else row["source"]
        return of_task(row, source, data.get(BACKGROUND, row["background"]), begun=1)

    def _finish(self, connection: Connection, task: Task, sets: str, *values: object) -> bool:
        if not _change(connection, task, sets, *values):
            return False
        fates = {
            row["status"]
            for row in connection.execute("SELECT DISTINCT status FROM items WHERE job = ?", (task.number,))
        }
        if not fates & {"queued", "running"}:
            self._end(connection, task.number, "succeeded" if "succeeded" in fates else "failed")
            # In the same transaction: as the job ends once, so its end is told once.
            connection.execute(
                "INSERT INTO deliveries (id, job, created_at, due) SELECT 'msg_' || id, number, ?1, ?1"
                " FROM jobs WHERE number = ?2 AND webhook IS NOT NULL",
                (self._clock(), task.number),
            )
        return True

    def _end(self, connection: Connection, number: int, status: str) -> None:
        rows.bump(connection, number)
        connection.execute(
            "UPDATE jobs SET status = ?, finished_at = ? WHERE number = ?", (status, self._clock(), number)
        )
        connection.execute("DELETE FROM uploads WHERE job = ?", (number,))


_MINE = "WHERE job = ? AND position = ? AND status = 'running'"
"""The picture, if it is being worked on: it may have been cancelled, and its job removed."""


def _has_succeeded(connection: Connection, task: Task) -> bool:
    """When ending it is repeated, as the first time was not answered in time."""
    row = connection.execute("SELECT status FROM items WHERE job = ? AND position = ?", task.place).fetchone()
    return row is not None and row["status"] == "succeeded"


def _change(connection: Connection, task: Task, sets: str, *values: object, only: str = "") -> bool:
    """Changes a picture that is being worked on, and counts that; False when it is not (any more)."""
    done = connection.execute(f"UPDATE items SET {sets} {_MINE} {only}", (*values, *task.place))  # noqa: S608 (constants)
    if done.rowcount != 1:
        return False
    connection.execute(
        "UPDATE items SET changed = ? WHERE job = ? AND position = ?",
        (rows.bump(connection, task.number), *task.place),
    )
    return True
