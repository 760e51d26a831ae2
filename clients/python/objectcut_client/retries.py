"""Whether and when a request is sent again."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

RETRIED = frozenset({429, 502, 503, 504})
UNSURE = frozenset({502, 504})
"""After these nobody knows whether the request was carried out."""
IN_FLIGHT = "idempotency_in_flight"
MOST_DOUBLINGS = 64
"""Every cap is reached by then; a float ends at 1024."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential back-off with full jitter.

    attempts: requests at most, the first one included. base, cap: seconds; before the n-th repetition at most
    `min(cap, base * 2 ** n)` are waited, but never less than the service's Retry-After. random: 0 to 1.
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 20.0
    random: Callable[[], float] = random.random

    def pause(self, sent: int, retry_after: float | None) -> float:
        """Seconds before the next request, after `sent` of them."""
        backoff: float = min(self.cap, self.base * 2 ** min(sent, MOST_DOUBLINGS)) * self.random()
        return max(backoff, retry_after or 0.0)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment of `clock`; it never moves."""

    at: float
    clock: Callable[[], float]

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float]) -> "Deadline":
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        return self.at - self.clock()


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, from either form of the header."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
