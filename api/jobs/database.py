"""One SQLite file behind one thread: jobs, webhooks on their way, and answers kept for their repetition."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from api.errors import DeadlineExceeded, JobsUnavailable
from api.storage.threads import BoundedThreads
from model.deadline import Deadline

T = TypeVar("T")

_START = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA secure_delete = ON;
PRAGMA journal_size_limit = 33554432;
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    bucket TEXT NOT NULL,
    plan TEXT NOT NULL,
    request_id TEXT NOT NULL,
    options TEXT NOT NULL,
    background TEXT,
    life REAL NOT NULL,
    webhook TEXT,
    once TEXT,
    fingerprint TEXT,
    created_at REAL NOT NULL,
    status TEXT,
    finished_at REAL,
    sequence INTEGER NOT NULL DEFAULT 0,
    UNIQUE (bucket, once)
);
CREATE INDEX IF NOT EXISTS ended_jobs ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS unfinished_jobs ON jobs (bucket) WHERE finished_at IS NULL;
CREATE TABLE IF NOT EXISTS items (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    position INTEGER NOT NULL,
    source TEXT,
    bucket TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued',
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    changed INTEGER NOT NULL DEFAULT 0,
    cutout TEXT,
    error TEXT,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS queued_items ON items (bucket, job, position, due) WHERE status = 'queued';
CREATE INDEX IF NOT EXISTS running_items ON items (job) WHERE status = 'running';
CREATE TABLE IF NOT EXISTS uploads (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (job, name)
);
CREATE TABLE IF NOT EXISTS deliveries (
    id TEXT PRIMARY KEY,
    job INTEGER NOT NULL UNIQUE REFERENCES jobs ON DELETE CASCADE,
    created_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    sending INTEGER NOT NULL DEFAULT FALSE
);
CREATE TABLE IF NOT EXISTS answers (
    owner TEXT NOT NULL,
    once TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB,
    size INTEGER NOT NULL,
    kept_at REAL NOT NULL,
    PRIMARY KEY (owner, once)
);
CREATE INDEX IF NOT EXISTS answers_by_age ON answers (kept_at);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


class Database:
    """Reads and transactions, one after another, off the event loop.

    The file is made by the first `write`: a service without jobs leaves no trace. It is readable by its owner
    alone, and what is deleted is overwritten. What `write` has returned from outlives a power cut: SQLite has
    waited for the disk.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        """timeout: seconds for one operation, waiting for other processes included."""
        self.path = path
        self._timeout = timeout
        self._thread = BoundedThreads(1, "jobs")
        self._connection: sqlite3.Connection | None = None

    def exists(self) -> bool:
        """Whether anything was ever written."""
        return self.path.is_file()

    async def read(self, work: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """What `work` finds; `nothing` before the first write. Raises JobsUnavailable."""
        return await self._run(lambda: work(self._opened()) if self.exists() else nothing)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` gives, once all that it has written is on the disk. Raises JobsUnavailable.

        When `work` raises, nothing is written.
        """

        def transaction() -> T:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        return await self._run(transaction)

    async def close(self) -> None:
        """Lets go of the file and the thread."""
        if self._connection:
            await self._run(self._connection.close)
        await self._thread.close()

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            deadline = Deadline.after(self._timeout)
            return await self._thread.run(call, deadline=deadline, stage="asking the jobs")
        except (sqlite3.Error, OSError, DeadlineExceeded) as exc:
            raise JobsUnavailable(f"{type(exc).__name__}: {exc}", retry_after=5) from exc

    def _opened(self) -> sqlite3.Connection:
        """In the database's thread."""
        if self._connection is None:
            # Half of the time at most for a lock, so that the answer is ours and not the deadline's.
            connection = sqlite3.connect(
                self.path, timeout=self._timeout / 2, isolation_level=None, check_same_thread=False
            )
            try:
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table, or never
                connection.executescript(_START)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection
