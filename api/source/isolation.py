"""Decodes in processes of its own, so that a file that crashes a decoder costs one answer: its own.

Each slot is a process and the thread that talks to it. Slots share nothing that one could write to, so there
are no neighbours to harm; a process that dies is replaced at once. The processes come from
api.source.forkserver, run api.source.sandbox, and end when this side closes its socket, however it ends.
"""

import asyncio
import json
import logging
import mmap
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from api import errors
from api.errors import (
    CorruptImage,
    DeadlineExceeded,
    Draining,
    ObjectCutError,
    Overloaded,
    PayloadTooLarge,
)
from api.source.forkserver import Family
from api.source.limits import DecodeLimits
from api.source.sandbox import HEADER
from api.types import Picture
from model.deadline import Deadline

if sys.platform == "linux":
    import fcntl

logger = logging.getLogger("objectcut.decode")

_MAX_LINE = 65_536  # bytes of an answer without its pixels
_PIXEL = 7  # bytes: three colours and, of a transparent picture, a float
_KEPT = 8 << 20  # bytes that a process and we go on sharing between files
_LAST_SECONDS = 1.0  # that a process gets to end by itself
_ERRORS = ("CorruptImage", "ImageTooLarge", "PayloadTooLarge", "UnsupportedImage")


class IsolationConfig(BaseModel):
    """Where images are decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_queue: int = Field(64, ge=0, le=10_000, description="Images waiting for one; more are turned away.")
    cpu_seconds: int = Field(10, gt=0, le=300, description="CPU seconds that one image may cost.")
    memory_bytes: int | None = Field(
        None,
        gt=0,
        description="Memory of one process above its libraries', bytes "
        "(default: 32 per pixel of the limit, twice the largest file, and 64 MB).",
    )
    start_timeout: float = Field(60.0, gt=0, le=600, description="Seconds for the processes to start.")


class DecodePool:
    """The `Decoder` of production: start it before use, close it after.

    workers: processes (default: one per core). entry: `module:function` that they run instead of
    api.source.decode:decode.
    """

    def __init__(
        self,
        limits: DecodeLimits,
        config: IsolationConfig | None = None,
        *,
        workers: int | None = None,
        entry: str = "api.source.decode:decode",
    ) -> None:
        self._config = config or IsolationConfig()
        workers = workers or os.cpu_count() or 1
        memory = self._config.memory_bytes or limits.max_pixels * 32 + limits.max_bytes * 2 + 64_000_000
        arguments = [str(self._config.cpu_seconds), str(memory), entry, limits.model_dump_json()]
        self._family = Family(arguments)
        # Threads and slots are as many, so a thread that runs always finds one.
        self._slots = deque(_Slot(self._family, limits) for _ in range(workers))
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._places = threading.BoundedSemaphore(workers + self._config.max_queue)
        self._closed = False

    async def start(self) -> None:
        """Starts the processes and waits until they are ready. Raises RuntimeError when one is not."""
        deadline = Deadline.after(self._config.start_timeout)
        try:
            for slot in self._slots:
                await asyncio.to_thread(slot.start)
            for slot in self._slots:
                await asyncio.to_thread(slot.wait_ready, deadline)
        except (ObjectCutError, OSError) as exc:
            await self.close()
            raise RuntimeError(f"a decoding process did not start: {exc}") from exc

    async def close(self) -> None:
        """Finishes what was accepted, then ends the processes. Safe to call twice."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        for slot in self._slots:
            await asyncio.to_thread(slot.close)
        await asyncio.to_thread(self._family.close)

    async def decode(self, data: bytes, *, deadline: Deadline) -> Picture:
        """As api.source.decode.decode; the arrays are writable and this caller's own.

        Raises what decode raises, Overloaded, Draining, DeadlineExceeded.
        """
        if self._closed:
            raise Draining("the decoder is shutting down")
        if not self._places.acquire(blocking=False):
            raise Overloaded("too many images wait to be decoded", retry_after=1.0)
        future = self._threads.submit(self._run, data, deadline)
        # Called when it has ended or was dropped from the queue, whether or not anybody still waits.
        future.add_done_callback(lambda _: self._places.release())
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlineExceeded("no time left to decode the image") from None

    def _run(self, data: bytes, deadline: Deadline) -> Picture:
        if deadline.remaining() <= 0:
            raise DeadlineExceeded("no time left to decode the image")
        slot = self._slots.pop()
        try:
            return slot.decode(data, deadline)
        finally:
            self._slots.append(slot)


class _Slot:
    """One process after another. Used by one thread at a time."""

    def __init__(self, family: Family, limits: DecodeLimits) -> None:
        self._family = family
        self._limits = limits
        self._child: _Child | None = None

    def start(self) -> None:
        """Puts a new process in place; it gets ready while nobody waits for it."""
        self._replace()

    def wait_ready(self, deadline: Deadline) -> None:
        self._living().wait_ready(deadline)

    def close(self) -> None:
        if self._child:
            self._child.close()
            self._child = None

    def decode(self, data: bytes, deadline: Deadline) -> Picture:
        status: int | None = None
        for _ in range(2):
            child = self._living()
            child.wait_ready(deadline)
            try:
                return child.decode(data, deadline)
            except TimeoutError:
                self._renew()
                raise DeadlineExceeded("the image took too long to decode") from None
            except (OSError, EOFError, ValueError, LookupError, TypeError):  # it died, or talks nonsense
                status = child.wait()
                self._renew()
            # The kernel's out-of-memory killer picks the largest process, not the guilty file: that file
            # gets a second chance. Any other death is the file's own doing.
            if status != -signal.SIGKILL:
                break
        raise CorruptImage(f"the decoding process ended with status {status}")

    def _living(self) -> "_Child":
        if self._child is None or self._child.ended():
            return self._replace()
        return self._child

    def _renew(self) -> None:
        """A new process, or else the next picture asks for one."""
        with suppress(Overloaded):
            self._replace()

    def _replace(self) -> "_Child":
        """Raises Overloaded: the system has no memory, descriptor or process left for it."""
        if self._child:
            self._child.kill()
            self._child = None
        try:
            self._child = _Child(self._family, self._limits)
        except OSError as exc:
            logger.warning("no decoding process could be started: %s", exc)
            raise Overloaded(f"no decoding process: {exc}", retry_after=1.0) from exc
        return self._child


class _Child:
    """A process that runs api.source.sandbox, and this side of its socket and of the memory they share."""

    def __init__(self, family: Family, limits: DecodeLimits) -> None:
        self._limits = limits
        self._pid: int | None = None  # unknown until it is ready
        self._sock, theirs = socket.socketpair()
        # Only what is in use takes memory.
        try:
            with theirs, _anonymous_file(max(limits.max_bytes, limits.max_pixels * _PIXEL)) as file:
                self._shared = mmap.mmap(file, 0)
                self._server = family.fork(theirs, file)
        except BaseException:
            self._sock.close()
            raise

    def wait_ready(self, deadline: Deadline) -> None:
        """Raises DeadlineExceeded (the process goes on starting), ObjectCutError (it cannot start)."""
        if self._pid:
            return
        try:
            answer = self._answer(deadline)
        except TimeoutError:
            raise DeadlineExceeded("no time left to wait for a decoding process") from None
        except (OSError, EOFError):
            raise ObjectCutError("a decoding process ended at its start") from None
        self._pid = answer["pid"]
        if not answer["confined"]:
            logger.warning("decoding processes cannot be kept from the network on this system")

    def decode(self, data: bytes, deadline: Deadline) -> Picture:
        """Raises decode's errors; TimeoutError; whatever reading an answer raises that is not one."""
        if len(data) > self._limits.max_bytes:  # there may be no room for it
            raise PayloadTooLarge(f"{len(data)} bytes")
        self._shared[: len(data)] = data
        try:
            self._sock.settimeout(_seconds(deadline))
            self._sock.sendall(HEADER.pack(len(data)))
            answer = self._answer(deadline)
            for note in answer["notes"]:
                logger.warning("%s", note)
            if "error" in answer:
                kind = getattr(errors, answer["error"]) if answer["error"] in _ERRORS else ObjectCutError
                raise kind(answer["detail"], public=answer.get("public"))
            return self._picture(answer)
        finally:
            # As many processes as cores must not keep the largest file and picture that each has seen.
            if sys.platform == "linux" and len(self._shared) > _KEPT:
                self._shared.madvise(mmap.MADV_REMOVE, _KEPT, len(self._shared) - _KEPT)

    def ended(self) -> bool:
        """Whether its end of the socket is closed."""
        try:
            self._sock.settimeout(0)
            return not self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def wait(self) -> int | None:
        """Its exit status; the wait is for one that has closed its socket and is about to end."""
        end = time.monotonic() + _LAST_SECONDS
        while self._pid:
            if (status := self._server.status(self._pid)) is not None:
                self._pid = None
                return status
            if time.monotonic() > end:
                self._server.kill(self._pid)
            time.sleep(0.001)
        return None

    def close(self) -> None:
        """Lets it end by itself."""
        self._sock.close()
        self._shared.close()
        self.wait()

    def kill(self) -> None:
        if self._pid:
            self._server.kill(self._pid)
        self.close()

    def _answer(self, deadline: Deadline) -> dict[str, Any]:
        """One line."""
        line = b""
        while not line.endswith(b"\n"):
            self._sock.settimeout(_seconds(deadline))
            part = self._sock.recv(_MAX_LINE)
            line += part
            if not part or len(line) > _MAX_LINE:
                raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _picture(self, answer: dict[str, Any]) -> Picture:
        """Copies of the arrays: what the process does to its own concerns nobody from now on."""
        height, width = answer["shape"]
        pixels = height * width
        if not 0 < pixels <= self._limits.max_pixels:
            raise ValueError("the decoding process does not keep to its limits")
        alpha, offset = None, 0
        if answer["alpha"]:
            alpha = np.frombuffer(self._shared, np.float32, pixels).reshape(height, width).copy()
            offset = alpha.nbytes
        rgb = np.frombuffer(self._shared, np.uint8, pixels * 3, offset).reshape(height, width, 3).copy()
        return Picture(rgb, alpha)


def _unnamed() -> IO[bytes]:
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("pictures", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b")
    else:
        return tempfile.TemporaryFile()


@contextmanager
def _anonymous_file(size: int) -> Iterator[int]:
    """The descriptor of a file of so many bytes without a name: it is gone with the last who maps it.

    Nobody can make it shorter, where the system can see to that: whoever touches what is no more crashes.
    """
    with _unnamed() as file:
        file.truncate(size)
        if sys.platform == "linux":
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        yield file.fileno()


def _seconds(deadline: Deadline) -> float:
    """For a socket, to which 0 would mean something else."""
    return max(deadline.remaining(), 0.001)
