"""One process works on jobs: whoever holds the lock, which ends with its process, however that ends."""

import asyncio
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("objectcut.jobs")

_POLL_SECONDS = 0.25


@contextmanager
def tenure(path: Path) -> Iterator[Callable[[], bool]]:
    """A function that tries to take the lock, and says whether it is ours now.

    POSIX's kind of lock: a child that was forked meanwhile does not hold it.
    """
    descriptor: int | None = None
    told: int | None = None

    def attempt() -> bool:
        nonlocal descriptor, told
        try:
            if descriptor is None:
                descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # it is another's
                return False
        except OSError as exc:  # no descriptor or lock is left: that may pass, and jobs wait meanwhile
            if exc.errno != told:
                told = exc.errno
                logger.error("no job is worked on: %s", exc)
            return False
        return True

    try:
        yield attempt
    finally:
        if descriptor is not None:
            os.close(descriptor)


async def until(condition: Callable[[], bool]) -> None:
    """Asks again and again, so that another process may be the one that makes it true."""
    while not condition():  # noqa: ASYNC110 (no event crosses processes)
        await asyncio.sleep(_POLL_SECONDS)
