"""Keys and credits in one SQLite file: for one machine, however many processes."""

import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from api.accounts.keys import KeyRecord
from api.errors import AccountsUnavailable, DeadlineExceeded
from api.storage.threads import BoundedThreads
from model.deadline import Deadline

T = TypeVar("T")

_START = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    """CREATE TABLE IF NOT EXISTS keys (
        id TEXT PRIMARY KEY,
        digest BLOB NOT NULL,
        plan TEXT NOT NULL,
        label TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        revoked_at INTEGER,
        balance INTEGER CHECK (balance >= 0),
        granted INTEGER
    )""",
)
_COLUMNS = "id, digest, plan, label, created_at, revoked_at, balance, granted"


class SqliteLedger:
    """A Ledger. One thread speaks to the database, a statement is a transaction.

    The file is made by the first `add`: a service without keys leaves no trace. It is readable by its owner
    alone. WAL: readers never wait, and a charge survives the end of the process (not of the power).
    """

    def __init__(self, path: Path, timeout: float) -> None:
        """timeout: seconds for one operation, waiting for other processes included."""
        self._path, self._timeout = path, timeout
        self._thread = BoundedThreads(1, "accounts")
        self._connection: sqlite3.Connection | None = None

    async def add(self, record: KeyRecord) -> None:
        """See Ledger."""
        row = tuple(getattr(record, name) for name in _COLUMNS.split(", "))

        def insert() -> None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            marks = ", ".join("?" * len(row))
            self._execute(f"INSERT INTO keys ({_COLUMNS}) VALUES ({marks})", row)  # noqa: S608 (constants)

        await self._run(insert)

    async def find(self, id: str) -> KeyRecord | None:
        """See Ledger."""
        found = await self._select("WHERE id = ?", id)
        return found[0] if found else None

    async def all(self) -> list[KeyRecord]:
        """See Ledger."""
        return await self._select("ORDER BY created_at, id")

    async def revoke(self, id: str) -> bool:
        """See Ledger."""
        return await self._update(
            "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", int(time.time()), id
        )

    async def charge(self, id: str, amount: int) -> bool:
        """See Ledger."""
        return await self._update(
            "UPDATE keys SET balance = balance - :amount WHERE id = :id"
            " AND (balance IS NULL OR balance >= :amount)",
            amount=amount,
            id=id,
        )

    async def grant(self, id: str, amount: int) -> bool:
        """See Ledger."""
        return await self._update(
            "UPDATE keys SET balance = balance + :amount, granted = granted + :amount WHERE id = :id"
            " AND balance IS NOT NULL",
            amount=amount,
            id=id,
        )

    async def close(self) -> None:
        """See Ledger."""
        if self._connection:
            await self._run(self._connection.close)
        await self._thread.close()

    async def _select(self, clause: str, *values: object) -> list[KeyRecord]:
        def select() -> list[KeyRecord]:
            if not self._path.is_file():
                return []
            found = self._execute(f"SELECT {_COLUMNS} FROM keys {clause}", values)  # noqa: S608 (constants)
            return [KeyRecord(*row) for row in found]

        return await self._run(select)

    async def _update(self, statement: str, *values: object, **named: object) -> bool:
        def update() -> bool:
            return self._path.is_file() and self._execute(statement, named or values).rowcount == 1

        return await self._run(update)

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            deadline = Deadline.after(self._timeout)
            return await self._thread.run(call, deadline=deadline, stage="asking the accounts")
        except (sqlite3.Error, OSError, DeadlineExceeded) as exc:
            raise AccountsUnavailable(f"{type(exc).__name__}: {exc}") from exc

    def _execute(self, statement: str, values: tuple[object, ...] | dict[str, object]) -> sqlite3.Cursor:
        """In the ledger's thread."""
        if self._connection is None:
            # Half of the time at most for a lock, so that the answer is ours and not the deadline's.
            connection = sqlite3.connect(
                self._path, timeout=self._timeout / 2, isolation_level=None, check_same_thread=False
            )
            try:
                for statement_of_start in _START:
                    connection.execute(statement_of_start)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection.execute(statement, values)
