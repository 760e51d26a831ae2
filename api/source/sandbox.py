"""The decoding processes: what they take away from themselves, the one that forks, and what the others serve.

Files come, and pixels go, through memory that it shares with the service: nothing large goes through a pipe,
and no page has to be faulted in anew for it. A request on its socket is an 8-byte length, of the file that
lies there; the answer is one line of JSON, when the pixels lie there in the file's place.
api.source.isolation holds the other end, api.source.forkserver that of the one that forks. None of them has
secrets in its environment or, where the system can do it, a way to open a socket or start a program.
"""

import ctypes
import gc
import importlib
import json
import logging
import mmap
import os
import platform
import resource
import signal
import socket
import struct
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from api.priority import after_the_loop

HEADER = struct.Struct("!Q")
NUMBER = struct.Struct("!q")
FORK, RUNNING = 0, 1 << 62
"""Neither a process id nor an exit status."""

_MAX_NOTES = 4
_OPEN_FILES = 64
_IDLE_BYTES = 8 << 20
"""Of memory that one file leaves to the next: there are as many processes as cores."""

# System calls that a decoder never needs: sockets, other programs, a hand on other processes, and io_uring
# (a second door to all of these). machine: (audit architecture, numbers).
_FORBIDDEN_CALLS = {
    "x86_64": (0xC000003E, (41, 42, 49, 59, 62, 101, 310, 311, 322, 424, 425)),
    "aarch64": (0xC00000B7, (117, 129, 198, 200, 203, 221, 270, 271, 281, 424, 425)),
}


def main() -> None:
    """Arguments: descriptor of the fork server's socket, CPU seconds per file, bytes of memory,
    `module:function`, limits."""
    descriptor, cpu_seconds, memory_bytes, entry, limits_json = sys.argv[1:]
    # A supervisor may tell every process of the service to stop: the service first finishes what it has, and
    # these end with it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    after_the_loop()
    confined = _forbid_calls()
    limits = SimpleNamespace(**json.loads(limits_json))  # a DecodeLimits, checked where it comes from
    if sys.platform == "linux":  # elsewhere the system's libraries may not survive a fork: each loads its own
        _loaded(entry)
        gc.collect()
        gc.freeze()  # memory that nobody writes to stays one for all
    with socket.socket(fileno=int(descriptor)) as service:
        child = forked(service)
    if child:
        sock, memory = child
        _serve(sock, memory, confined, _loaded(entry), limits, int(cpu_seconds), int(memory_bytes))


@cache
def _loaded(entry: str) -> Callable[..., Any]:
    """The function that decodes, and with it the libraries, set up once for all who are forked then."""
    from model import heap

    module, _, function = entry.partition(":")
    decode: Callable[..., Any] = getattr(importlib.import_module(module), function)
    heap.keep(_IDLE_BYTES)
    warnings.simplefilter("ignore")
    from PIL import Image

    warnings.simplefilter("error", Image.DecompressionBombWarning)
    return decode


def forked(service: socket.socket) -> tuple[int, int] | None:
    """Forks whenever the service asks for it, and tells how children ended, until the service is gone.

    In a child: the descriptors of its socket and of its memory. A request is a number: FORK, with those two;
    or a child's process id, which is answered with its exit status or RUNNING. Where there is no room for
    another process, its socket closes.
    """
    while True:
        request, descriptors, _, _ = socket.recv_fds(service, NUMBER.size, 2)
        if len(request) < NUMBER.size:
            return None
        (pid,) = NUMBER.unpack(request)
        if pid != FORK:
            ended, status = os.waitpid(pid, os.WNOHANG)
            service.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status) if ended else RUNNING))
            continue
        with suppress(OSError):
            if os.fork() == 0:
                _end_with_parent()
                sock, memory = descriptors
                return sock, memory
        for each in descriptors:
            os.close(each)


def _serve(
    descriptor: int,
    memory: int,
    confined: bool,
    decode: Callable[..., Any],
    limits: SimpleNamespace,
    cpu_seconds: int,
    memory_bytes: int,
) -> None:
    """A file after the other, until the service closes the socket."""
    shared = mmap.mmap(memory, os.fstat(memory).st_size)
    os.close(memory)
    _take_limits(memory_bytes)
    notes = _Notes()
    logging.getLogger().addHandler(notes)
    with socket.socket(fileno=descriptor) as sock, open(os.devnull, "wb") as nowhere:
        _send(sock, {"pid": os.getpid(), "confined": confined})
        # From here on the C libraries' own complaints about hostile files go nowhere.
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
        while len(header := sock.recv(HEADER.size, socket.MSG_WAITALL)) == HEADER.size:
            (size,) = HEADER.unpack(header)
            _allow_cpu(cpu_seconds)
            _send(sock, _answer(partial(decode, shared[:size], limits), shared) | {"notes": notes.take()})


def _answer(decode: Callable[[], Any], shared: mmap.mmap) -> dict[str, Any]:
    """What there is to say of the alpha, if there is one, and the colours after it; or one of our errors."""
    from api.errors import ImageTooLarge, ObjectCutError

    try:
        picture = decode()
    except (MemoryError, OSError) as exc:
        return {"error": ImageTooLarge.__name__, "detail": f"{type(exc).__name__}: {exc}"}
    except ObjectCutError as exc:
        return {"error": type(exc).__name__, "detail": str(exc), "public": exc.public}
    shared.seek(0)
    if picture.alpha is not None:
        shared.write(picture.alpha.data)
    shared.write(picture.rgb.data)
    return {"shape": picture.rgb.shape[:2], "alpha": picture.alpha is not None}


def _send(sock: socket.socket, answer: dict[str, Any]) -> None:
    sock.sendall(json.dumps(answer).encode() + b"\n")


def _take_limits(memory_bytes: int) -> None:
    """Memory above what the interpreter and the libraries already map; no core dumps of people's photos."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes, mapped + memory_bytes))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        set_death_signal = 1
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGKILL, 0, 0, 0)


def _allow_cpu(seconds: int) -> None:
    """The limit counts from the process's birth, so it moves on with every file. SIGXCPU ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _forbid_calls() -> bool:
    """Makes those system calls fail with EPERM from now on (seccomp). False where that cannot be had."""
    if sys.platform != "linux" or platform.machine() not in _FORBIDDEN_CALLS:
        return False
    architecture, calls = _FORBIDDEN_CALLS[platform.machine()]
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    allow, eperm = 0x7FFF0000, 0x00050001
    last = 5 + len(calls)  # the line that denies; jumps are counted from the line after their own
    program = [
        (load, 0, 0, 4),  # the architecture: by another one's numbers these calls are others
        (equal, 0, last - 2, architecture),
        (load, 0, 0, 0),  # the number
        (at_least, last - 4, 0, 0x40000000),  # x32's numbers on x86-64
        *((equal, last - line - 1, 0, call) for line, call in enumerate(calls, start=4)),
        (give, 0, 0, allow),
        (give, 0, 0, eperm),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    filters = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    no_new_privileges, set_seccomp, filter_mode = 38, 22, 2
    failures: int = prctl(no_new_privileges, 1, 0, 0, 0) or prctl(set_seccomp, filter_mode, filters, 0, 0)
    return failures == 0


class _Notes(logging.Handler):
    """Keeps warnings until the answer goes out: the service logs them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._notes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._notes = [*self._notes, record.getMessage()[:200]][-_MAX_NOTES:]

    def take(self) -> list[str]:
        notes, self._notes = self._notes, []
        return notes
