"""Answers kept for their Idempotency-Key."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from sqlite3 import Connection

from api.jobs.config import JobsConfig
from api.jobs.database import Database

_ROW_BYTES = 500
"""What a row takes beside its headers and body, roughly."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was answered. fingerprint: of that request; without a body, Once.all_of_it.

    body: None when it was too large or not JSON: then it is made again, and is not paid for again.
    """

    fingerprint: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes | None


class KeptAnswers:
    """By caller and key. Every method raises JobsUnavailable. clock: seconds since 1970."""

    def __init__(
        self, database: Database, config: JobsConfig, clock: Callable[[], float] = time.time
    ) -> None:
        self._database, self._config, self._clock = database, config, clock
        self.body_bytes = config.answer_bytes

    async def find(self, owner: str, key: str) -> Answer | None:
        """None: none was kept, or not for so long."""

        def select(connection: Connection) -> Answer | None:
            row = connection.execute(
                "SELECT * FROM answers WHERE owner = ? AND once = ? AND kept_at > ?",
                (owner, key, self._oldest()),
            ).fetchone()
            if row is None:
                return None
            headers = [(name, value) for name, value in json.loads(row["headers"])]
            return Answer(row["fingerprint"], row["status"], headers, row["body"])

        return await self._database.read(select, None)

    async def keep(self, owner: str, key: str, answer: Answer) -> None:
        """The first one stays; one that has expired is replaced."""
        headers = json.dumps(answer.headers)
        size = _ROW_BYTES + len(headers) + len(answer.body or b"")

        def insert(connection: Connection) -> None:
            connection.execute(
                "DELETE FROM answers WHERE owner = ? AND once = ? AND kept_at <= ?",
                (owner, key, self._oldest()),
            )
            connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    owner,
                    key,
                    answer.fingerprint,
                    answer.status,
                    headers,
                    answer.body,
                    size,
                    self._clock(),
                ),
            )

        await self._database.write(insert)

    async def sweep(self) -> int:
        """Removes what has expired, and the oldest of what is too much; how many answers."""

        def sweep(connection: Connection) -> int:
            expired = connection.execute("DELETE FROM answers WHERE kept_at <= ?", (self._oldest(),))
            too_many = connection.execute(
                "DELETE FROM answers WHERE rowid IN (SELECT rowid FROM (SELECT rowid, sum(size) OVER"
                " (ORDER BY kept_at DESC, rowid DESC) AS total FROM answers) WHERE total > ?)",
                (self._config.answers_bytes,),
            )
            return expired.rowcount + too_many.rowcount

        return await self._database.write(sweep) if self._database.exists() else 0

    def _oldest(self) -> float:
        return self._clock() - self._config.answers_seconds
