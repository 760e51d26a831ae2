"""So many at once, and nobody waits for ever."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.errors import Overloaded


class Turns:
    """places: how many may have a turn at once. patience: seconds that one may wait; None: as it likes.

    Who begins late would only run out of time later, after work that others needed: better to be told early.
    """

    def __init__(self, places: int, patience: float | None) -> None:
        self._places = asyncio.Semaphore(places)
        self._patience = patience

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Holds one of the places. Raises Overloaded."""
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise Overloaded("too long a wait for a turn", retry_after=self._patience) from None
        try:
            yield
        finally:
            self._places.release()
