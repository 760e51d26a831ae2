"""Results that live as long as the process: for tests and for services that keep nothing."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api.errors import NotFound, StoreFull
from api.storage.served import Sweeper, checked, put_time, signed_link
from api.storage.signing import UrlSigner
from api.storage.threads import require_time
from api.types import Deadline, Encoded, Link, StoredObject


@dataclass(slots=True)
class _Entry:
    body: bytes
    media_type: str
    facts: dict[str, str]
    ends_at: float


class MemoryStore:
    """A bounded dictionary with the behaviour of a store: see Store and ServedStore.

    ttl_seconds: life of an object since it was last put. max_bytes: of all bodies together; a put
    beyond it is refused rather than an older link broken. clock: seconds since 1970.
    """

    def __init__(
        self,
        signer: UrlSigner,
        *,
        ttl_seconds: float = 3 * 86_400,
        max_bytes: int = 256_000_000,
        sweep_seconds: float = 600,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.signer = signer
        self._ttl = ttl_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._sweeper = Sweeper(self.sweep, sweep_seconds)

    async def start(self) -> None:
        await self._sweeper.start()

    async def put(
        self,
        key: str,
        item: Encoded,
        *,
        facts: Mapping[str, str],
        deadline: Deadline,
        life: float | None = None,
    ) -> Link:
        require_time(deadline, "storing")
        try:
            entry = self._entry(key)
        except NotFound:
            entry = await self._add(key, item, facts)
        began = put_time(self._clock(), self._ttl, life)
        entry.ends_at = max(entry.ends_at, began + self._ttl)
        return self._link(key, entry)

    async def find(self, key: str, *, deadline: Deadline) -> StoredObject:
        require_time(deadline, "finding")
        entry = self._entry(key)
        return StoredObject(self._link(key, entry), entry.media_type, len(entry.body), dict(entry.facts))

    async def read(self, key: str, *, deadline: Deadline) -> tuple[bytes, str]:
        require_time(deadline, "reading")
        entry = self._entry(key)
        return entry.body, entry.media_type

    async def delete(self, key: str, *, deadline: Deadline) -> None:
        require_time(deadline, "deleting")
        self._entry(key)
        del self._entries[key]

    async def close(self) -> None:
        await self._sweeper.close()
        self._entries.clear()

    async def sweep(self) -> int:
        """Drops the expired; returns how many."""
        now = self._clock()
        expired = [key for key, entry in self._entries.items() if entry.ends_at <= now]
        for key in expired:
            del self._entries[key]
        return len(expired)

    async def _add(self, key: str, item: Encoded, facts: Mapping[str, str]) -> _Entry:
        await self.sweep()
        held = sum(len(entry.body) for entry in self._entries.values())
        if held + len(item.body) > self._max_bytes:
            raise StoreFull(f"{held} of {self._max_bytes} bytes are taken", retry_after=60)
        entry = self._entries[checked(key)] = _Entry(item.body, item.media_type, dict(facts), 0.0)
        return entry

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.get(key)
        if entry is None or entry.ends_at <= self._clock():
            raise NotFound("no such object in memory")
        return entry

    def _link(self, key: str, entry: _Entry) -> Link:
        return signed_link(self.signer, key, ends_at=entry.ends_at, now=self._clock())
