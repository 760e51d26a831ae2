"""What a decoding process runs in tests: the real decoder, and files that do to it what they say."""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from api.errors import CorruptImage
from api.source.decode import DecodeLimits
from api.source.decode import decode as really_decode
from api.types import Picture

ENTRY = f"{__name__}:decode"


def decode(data: bytes, limits: DecodeLimits) -> Picture:
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
        os.kill(os.getpid(), signal.SIGKILL)


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


DEEDS: Mapping[bytes, Callable[[bytes], object]] = {
    b"exit": lambda data: os._exit(3),
    b"segfault": lambda data: ctypes.string_at(0),
    b"abort": lambda data: os.abort(),
    b"killed": lambda data: os.kill(os.getpid(), signal.SIGSEGV),
    b"once": _once,
    b"spin": lambda data: _spin(),
    b"sleep": lambda data: time.sleep(float(data.partition(b" ")[2])),
    b"memory": lambda data: np.ones(2_000_000_000, np.uint8).sum(),
    b"socket": lambda data: _outcome(lambda: socket.socket()),
    b"program": lambda data: _outcome(lambda: subprocess.run(["/bin/true"], check=True)),
    b"kill": lambda data: _outcome(lambda: os.kill(os.getppid(), 0)),
    b"environment": lambda data: sorted(os.environ),
    b"modules": lambda data: sorted({name.partition(".")[0] for name in sys.modules}),
    b"main": lambda data: getattr(sys.modules["__main__"], "__file__", None),
    b"bug": lambda data: {}["nothing"],
    b"warn": lambda data: _warn(),
    b"noise": lambda data: _noise(),
    b"pid": lambda data: os.getpid(),
}
