"""The C library's heap, of glibc; elsewhere nothing happens."""

import ctypes
import sys
from collections.abc import Callable

__all__ = ["keep", "trim"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 32 << 20
"""Bytes: the most that glibc takes from its heap rather than from the system."""


def keep() -> None:
    """Lets this process keep the memory of one picture for the next, up to 64 MB of it in each thread.

    By default glibc hands large arrays back to the system as soon as they are freed, and every page of the
    next picture's is faulted in and zeroed anew: a sixth of the time of a small network's answer.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST)


def trim() -> None:
    """Hands back all that is free: after loads, which need far more than what they leave behind."""
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
