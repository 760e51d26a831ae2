"""How the cores of a CPU are shared between the pictures that are worked on at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["CoreShare"]

_HEAVY = 0.2
"""Seconds of one core per picture. Below, threads waiting for each other at the end of every layer cost more
than they save as soon as anything else runs on the machine: decoding and encoding, for two."""

_SLOW = 3.0
_SLOW_CORES = 4
"""Above so many seconds a picture gets so many cores of its own: an answer within a request's time, and a
gigabyte or two of activations for every four cores rather than for every one, are worth some throughput."""


class CoreShare:
    """One core for each call, until `divide` knows better.

    streams: calls that may run side by side.
    """

    def __init__(self, cores: int) -> None:
        self.streams = self._cores = cores
        self._alone = self._each = 1
        self._active = 0
        self._lock = threading.Lock()

    def divide(self, seconds: float) -> None:
        """Decides how many pictures are worked on at once. seconds: what one takes on one core."""
        if seconds > _HEAVY:
            self._alone = self._cores
        if seconds > _SLOW:
            self.streams = max(1, self._cores // _SLOW_CORES)
            self._each = self._cores // self.streams

    @contextmanager
    def threads(self) -> Iterator[None]:
        """Sets how many threads torch uses on behalf of the calling thread: OpenMP counts per caller."""
        with self._lock:
            self._active += 1
            alone = self._active == 1
        try:
            torch.set_num_threads(self._alone if alone else self._each)
            yield
        finally:
            with self._lock:
                self._active -= 1
