"""Webhooks that are on their way: each stays until it is acknowledged or given up."""

import time
from collections import Counter
from collections.abc import Callable
from sqlite3 import Connection

from api.jobs import rows
from api.jobs.database import Database
from api.jobs.insistence import claimed
from api.jobs.records import Delivery

_OF_ONE_CALLER = 2
"""Deliveries of one caller at once: slow receivers of one hold nobody else up."""
_OPEN = "FROM deliveries JOIN jobs ON number = job WHERE NOT sending"


class Outbox:
    """Deliveries. The ledger adds them, in the transaction that ends the job. clock: seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock
        self._busy: Counter[str] = Counter()
        self._taken: set[str] = set()

    async def next_due(self) -> float | None:
        """When the next delivery is due; None when there is none."""

        def select(connection: Connection) -> float | None:
            busy = self._full()
            found = connection.execute(f"SELECT min(due) {_OPEN} AND {busy[0]}", busy[1]).fetchone()
            return None if found[0] is None else float(found[0])

        return await self._database.read(select, None)

    async def claim(self) -> Delivery | None:
        """Takes on the delivery that has been due for longest; `delivered` or `again` has to follow."""

        def claim(connection: Connection) -> Delivery | None:
            now, busy = self._clock(), self._full()
            row = connection.execute(
                "SELECT jobs.*, deliveries.id AS delivery, deliveries.created_at AS ended_at, attempts"
                f" {_OPEN} AND due <= ? AND {busy[0]} ORDER BY due LIMIT 1",
                (now, *busy[1]),
            ).fetchone()
            if row is None:
                return None
            connection.execute(
                "UPDATE deliveries SET sending = TRUE, attempts = attempts + 1 WHERE id = ?",
                (row["delivery"],),
            )
            return Delivery(
                row["delivery"],
                row["webhook"],
                row["owner"],
                row["bucket"],
                row["ended_at"],
                row["attempts"] + 1,
                rows.of_job(connection, row, now),
            )

        delivery = await claimed(lambda: self._database.write(claim), self._disown)
        if delivery:
            self._busy[delivery.bucket] += 1
            self._taken.add(delivery.id)
        return delivery

    async def delivered(self, delivery: Delivery) -> None:
        """It is acknowledged, or given up."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))
        )

    async def again(self, delivery: Delivery, due: float) -> None:
        """It is to be tried once more."""
        await self._database.write(
            lambda connection: connection.execute(
                "UPDATE deliveries SET sending = FALSE, due = ? WHERE id = ?", (due, delivery.id)
            )
        )

    def release(self, delivery: Delivery) -> None:
        """Its turn is over, whatever became of it."""
        self._busy -= Counter([delivery.bucket])
        self._taken.discard(delivery.id)

    async def recover(self) -> None:
        """Frees what a process that has ended was sending. Only before sending begins."""
        if self._database.exists():
            await self._database.write(
                lambda connection: connection.execute(
                    "UPDATE deliveries SET sending = FALSE, due = ? WHERE sending", (self._clock(),)
                )
            )

    async def _disown(self) -> None:
        """Frees what is marked as being sent and is not, as if it had not been begun."""

        def disown(connection: Connection) -> None:
            marked = connection.execute("SELECT id FROM deliveries WHERE sending").fetchall()
            connection.executemany(
                "UPDATE deliveries SET sending = FALSE, attempts = attempts - 1 WHERE id = ?",
                [(row["id"],) for row in marked if row["id"] not in self._taken],
            )

        await self._database.write(disown)

    def _full(self) -> tuple[str, tuple[str, ...]]:
        """A condition on `bucket`: those who have room."""
        full = tuple(bucket for bucket, count in self._busy.items() if count >= _OF_ONE_CALLER)
        return f"bucket NOT IN ({', '.join('?' * len(full))})", full
