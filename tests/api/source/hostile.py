"""What a decoding process runs in tests: the real decoder, and files that do to it what they say."""

import ctypes
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from api.errors import CorruptImage
from api.source.decode import decode as really_decode
from api.types import Picture

if TYPE_CHECKING:
    from api.source.limits import DecodeLimits

ENTRY = f"{__name__}:decode"


def decode(data: bytes, limits: "DecodeLimits") -> Picture:
    """A file that names one of the deeds below does it; any other is decoded."""
    deed = DEEDS.get(bytes(data[:40]).partition(b" ")[0])
    if deed is None:
        return really_decode(data, limits)
    raise CorruptImage(f"{deed(data)}")


def _once(data: bytes) -> None:
    """Killed as if by the system, the first time only: the rest of the file is a path that remembers."""
    marker = data.partition(b" ")[2]
    if not os.path.exists(marker):
        os.close(os.open(marker, os.O_CREAT))
        signal.raise_signal(signal.SIGKILL)


def _outcome(act: Callable[[], object]) -> str:
    try:
        return f"did it: {act()!r}"
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


def _spin() -> None:
    while True:
        pass


def _warn() -> str:
    logging.getLogger("objectcut.decode").warning("a note for the log")
    return "warned"


def _noise() -> str:
    os.write(1, b"NOISE")
    os.write(2, b"NOISE")
    return "wrote"


def _limits() -> str:
    names = {"core": "CORE", "files": "NOFILE", "memory": "AS", "cpu": "CPU"}
    numbers = {name: getattr(resource, f"RLIMIT_{limit}") for name, limit in names.items()}
    return " ".join(f"{name}={resource.getrlimit(number)[0]}" for name, number in numbers.items())


def _work(data: bytes) -> int:
    end = time.process_time() + float(data.partition(b" ")[2])
    while time.process_time() < end:
        pass
    return os.getpid()


def _shrink() -> list[str]:
    """What comes of taking the shared memory away from under the service."""
    files = [int(name) for name in os.listdir("/proc/self/fd") if "memfd:" in _target(name)]
    return [_outcome(partial(os.ftruncate, file, 0)) for file in files]


def _target(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except FileNotFoundError:  # that of the listing itself
        return ""


def _bug() -> None:
    raise KeyError("nothing")


DEEDS: Mapping[bytes, Callable[[bytes], object]] = {
    b"exit": lambda _: os._exit(3),
    b"segfault": lambda _: ctypes.string_at(0),
    b"abort": lambda _: os.abort(),
    b"signal": lambda _: signal.raise_signal(signal.SIGBUS),
    b"once": _once,
    b"spin": lambda _: _spin(),
    b"sleep": lambda data: time.sleep(float(data.partition(b" ")[2])),
    b"memory": lambda _: np.ones(2_000_000_000, np.uint8).sum(),
    b"socket": lambda _: _outcome(socket.socket),
    b"program": lambda _: _outcome(lambda: subprocess.run(["/bin/true"], check=True)),
    b"kill": lambda _: _outcome(lambda: os.kill(os.getppid(), 0)),
    b"environment": lambda _: sorted(os.environ),
    b"modules": lambda _: sorted({name.partition(".")[0] for name in sys.modules}),
    b"main": lambda _: getattr(sys.modules["__main__"], "__file__", None),
    b"shrink": lambda _: _shrink(),
    b"bug": lambda _: _bug(),
    b"limits": lambda _: _limits(),
    b"work": _work,
    b"warn": lambda _: _warn(),
    b"noise": lambda _: _noise(),
    b"pid": lambda _: os.getpid(),
    b"parent": lambda _: os.getppid(),
    b"files": lambda _: sorted(_target(name) for name in os.listdir("/proc/self/fd")),
}
