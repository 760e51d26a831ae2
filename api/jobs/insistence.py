"""What has happened must be noted, however long the database is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from api.errors import JobsUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE_SECONDS = 1.0


async def claimed(claim: Callable[[], Awaitable[T]], disown: Callable[[], Awaitable[None]]) -> T:
    """What `claim` takes on. Raises JobsUnavailable, once `disown` has given back what nobody works on.

    Given up waiting for, a claim may have been written all the same.
    """
    try:
        return await claim()
    except JobsUnavailable:
        await insist(disown)
        raise


async def insist(note: Callable[[], Awaitable[T]]) -> T:
    """What `note` gives, once the database takes it. `note` must bear being repeated."""
    while True:
        try:
            return await note()
        except JobsUnavailable as exc:
            logger.error("the database of jobs: %s; trying again", exc)
            await asyncio.sleep(_PAUSE_SECONDS)
