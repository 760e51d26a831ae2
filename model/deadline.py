"""The one clock that a request carries from its first byte to its last."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from model.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock. It travels with the request and never restarts.

    at: seconds on `clock`, which is `time.monotonic` outside tests.
    """

    at: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> "Deadline":
        """The deadline that lies `seconds` ahead."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock())

    def check(self, stage: str) -> None:
        """Raises DeadlineExceeded, naming the stage that was about to start, when no time is left."""
        if self.remaining() <= 0:
            raise DeadlineExceeded(f"no time left before {stage}")
