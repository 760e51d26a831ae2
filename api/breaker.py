"""A circuit breaker: while a server is down, callers hear so at once instead of waiting for it."""

import threading
import time
from collections.abc import Callable

from api.errors import ObjectCutError


class Breaker:
    """Opens after `threshold` failures in a row; then one caller per `pause` (s) may see if it is over.

    refusal: what callers hear meanwhile. Safe to use from several threads.
    """

    def __init__(
        self,
        refusal: type[ObjectCutError],
        threshold: int = 5,
        pause: float = 2.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refusal = refusal
        self._threshold = threshold
        self._pause = pause
        self._clock = clock
        self._failures = 0
        self._next_probe = 0.0
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raises the refusal while open, but for the one caller who is to probe."""
        with self._lock:
            if self._failures < self._threshold:
                return
            wait = self._next_probe - self._clock()
            if wait > 0:
                raise self._refusal(f"open after {self._failures} failures in a row", retry_after=wait)
            self._next_probe = self._clock() + self._pause

    @property
    def open(self) -> bool:
        """Whether the latest calls have all failed."""
        return self._failures >= self._threshold

    def failed(self) -> None:
        """The server gave no answer, or an answer that says it is in trouble."""
        with self._lock:
            self._failures += 1
            self._next_probe = self._clock() + self._pause

    def succeeded(self) -> None:
        """The server answered: closed again."""
        with self._lock:
            self._failures = 0
