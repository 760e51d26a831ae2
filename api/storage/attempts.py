"""Operations on a bucket far away: tried again while that may help, inside the caller's deadline."""

import random
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from api.breaker import Breaker
from api.errors import DeadlineExceeded, ObjectCutError, StoreUnavailable
from api.storage.config import BucketConfig
from api.storage.threads import BoundedThreads
from api.types import Deadline

T = TypeVar("T")


class Attempts:
    """Runs blocking operations in threads of its own; a breaker keeps callers from a server that is down.

    failures: what the server's client raises. transient: whether trying again may help. timeouts: those of
    the failures that say that a try's own time was up.
    """

    def __init__(
        self,
        config: BucketConfig,
        name: str,
        *,
        failures: tuple[type[Exception], ...],
        transient: Callable[[Exception], bool],
        timeouts: tuple[type[Exception], ...] = (),
        breaker: Breaker | None = None,
    ) -> None:
        self._config = config
        self._failures, self._transient, self._timeouts = failures, transient, timeouts
        self._threads = BoundedThreads(config.workers, name)
        self._breaker = breaker or Breaker(StoreUnavailable)

    async def run(
        self, operation: Callable[[float], T], deadline: Deadline, stage: str, tries: int | None = None
    ) -> T:
        """What `operation` gives, which is told the seconds that one request to the bucket may take.

        tries: fewer than are configured. Raises what it raises of ours; StoreUnavailable for the client's
        failures and while the breaker is open; DeadlineExceeded.
        """
        self._breaker.check()
        call = partial(self._tried, operation, deadline, stage, tries or self._config.tries)
        return await self._threads.run(call, deadline=deadline, stage=stage)

    async def close(self) -> None:
        """Waits for the operations under way, though not for one that hangs."""
        await self._threads.close()

    def _tried(self, operation: Callable[[float], T], deadline: Deadline, stage: str, tries: int) -> T:
        for number in range(1, tries + 1):
            timeout = min(self._config.try_seconds, deadline.remaining())
            if timeout <= 0:
                raise DeadlineExceeded(f"no time left while {stage}")
            try:
                result = operation(timeout)
            except ObjectCutError:
                self._breaker.succeeded()
                raise
            except self._failures as exc:
                failure = exc
                if not self._transient(exc):
                    break
                if not isinstance(exc, self._timeouts) or timeout == self._config.try_seconds:
                    self._breaker.failed()  # a wait that our own caller cut short says nothing of the server
            else:
                self._breaker.succeeded()
                return result
            pause = random.uniform(0, 0.1 * 2**number)  # noqa: S311 - jitter
            if number == tries or pause >= deadline.remaining():
                break
            time.sleep(pause)
        raise StoreUnavailable(f"{stage}: {failure!r}", retry_after=2) from failure
