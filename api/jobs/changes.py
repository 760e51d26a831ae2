"""Who waits for a change of which job, in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Changes:
    """Events by job. They tell that there is something to read, not what."""

    def __init__(self) -> None:
        self._watchers: dict[str, set[asyncio.Event]] = {}

    def notify(self, id: str) -> None:
        """The job has changed."""
        for event in self._watchers.get(id, ()):
            event.set()

    @contextmanager
    def watching(self, id: str) -> Iterator[asyncio.Event]:
        """An event that is set at each change."""
        event = asyncio.Event()
        self._watchers.setdefault(id, set()).add(event)
        try:
            yield event
        finally:
            self._watchers[id].discard(event)
            if not self._watchers[id]:
                del self._watchers[id]
