"""What the failures of a runtime mean. Readable without any."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from model.errors import DeviceLost, InferenceFailed, OutOfMemory

__all__ = ["device_errors"]

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED")
_STICKY = (
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "invalid program counter",
    "operation not supported on global/shared address space",
    "unspecified launch failure",
    "launch timed out and was terminated",
    "hardware stack error",
    "uncorrectable ECC",
    "device is lost",
    "driver shutting down",
)
"""What CUDA says when its context is poisoned: every later call of this process fails, too."""


@contextmanager
def device_errors(relieve: Callable[[], object] = lambda: None) -> Iterator[None]:
    """A runtime's failures as ours: OutOfMemory, DeviceLost, InferenceFailed. relieve: frees memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        text = str(exc)
        if isinstance(exc, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
            relieve()
            raise OutOfMemory(text) from exc
        if any(words in text for words in _STICKY):
            raise DeviceLost(text) from exc
        raise InferenceFailed(text) from exc
