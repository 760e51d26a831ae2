"""The C library's heap, of glibc; elsewhere nothing happens."""

import ctypes
import os
import sys
from collections.abc import Callable

__all__ = ["keep", "trim"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST = 32 << 20
"""Bytes: the most that glibc takes from its heap rather than from the system."""

_CORES_EACH = 4
"""How many share a heap. A picture asks it for memory some thousand times, for microseconds in all."""


def keep(room: int = _LARGEST) -> None:
    """Lets this process keep the memory of one picture for the next, up to `room` bytes in each heap.

    By default glibc hands large arrays back to the system as soon as they are freed, and every page of the
    next picture's is faulted in and zeroed anew: a sixth of the time of a small network's answer. And it
    gives each thread a heap of its own, which keeps what others could use: some cores share one here.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, room)
        mallopt(_M_ARENA_MAX, max(1, (os.cpu_count() or 1) // _CORES_EACH))


def trim() -> None:
    """Hands back all that is free: after loads, which need far more than what they leave behind."""
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
