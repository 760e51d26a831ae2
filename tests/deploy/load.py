"""Clients that never pause, and what became of their requests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np


@dataclass
class Load:
    """answers: when each came (s, monotonic), how long it took (s), and its status; 0: no answer at all.

    errors: what those say that are not 200.
    """

    answers: list[tuple[float, float, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def failed(self) -> list[int]:
        return [status for _, _, status in self.answers if status != httpx.codes.OK]

    def percentile(self, share: float) -> float:
        """Of the seconds that answers took."""
        return float(np.percentile([seconds for _, seconds, _ in self.answers], share))


@contextmanager
def loading(clients: int, ask: Callable[[], httpx.Response]) -> Iterator[Load]:
    """So many threads that call `ask` again and again, while the context is open."""
    load, stop = Load(), threading.Event()

    def client() -> None:
        while not stop.is_set():
            started = time.monotonic()
            try:
                answer = ask()
                status = answer.status_code
                if status != httpx.codes.OK:
                    load.errors.append(f"{status}: {answer.text[:500]}")
            except httpx.TransportError as exc:
                status = 0
                load.errors.append(repr(exc))
            ended = time.monotonic()
            load.answers.append((ended, ended - started, status))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()
