"""Decodes in processes of its own, so that a file that crashes a decoder costs one answer: its own.

Each slot is a process and the thread that talks to it. Nothing is shared between slots, so there are no
neighbours to harm; a process that dies is replaced at once. The processes are started afresh (never
forked), run api.source.sandbox, and end when this side closes its socket, however it ends.
"""

import asyncio
import json
import logging
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from api import errors
from api.errors import CorruptImage, DeadlineExceeded, Draining, ObjectCutError, Overloaded
from api.source.limits import DecodeLimits
from api.source.sandbox import HEADER
from api.types import Picture
from model.deadline import Deadline
from model.interpreter import command

if sys.platform == "linux":
    import fcntl

logger = logging.getLogger("objectcut.decode")

_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
# One thread, one malloc arena: each would map address space that counts against the limit.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_MAX_LINE = 65_536  # bytes of an answer without its pixels
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
        # Threads and slots are as many, so a thread that runs always finds one.
        self._slots = deque(_Slot(arguments, limits) for _ in range(workers))
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._places = threading.BoundedSemaphore(workers + self._config.max_queue)
        self._closed = False

    async def start(self) -> None:
        """Starts the processes and waits until they are ready. Raises RuntimeError when one is not."""
        deadline = Deadline.after(self._config.start_timeout)
        for slot in self._slots:
            await asyncio.to_thread(slot.start)
        for slot in self._slots:
            try:
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

    def __init__(self, arguments: list[str], limits: DecodeLimits) -> None:
        self._arguments = arguments
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
                self._replace()
                raise DeadlineExceeded("the image took too long to decode") from None
            except (OSError, EOFError, ValueError, LookupError, TypeError):  # it died, or talks nonsense
                status = child.wait()
                self._replace()
            # The kernel's out-of-memory killer picks the largest process, not the guilty file: that file
            # gets a second chance. Any other death is the file's own doing.
            if status != -signal.SIGKILL:
                break
        raise CorruptImage(f"the decoding process ended with status {status}")

    def _living(self) -> "_Child":
        if self._child is None or self._child.ended():
            return self._replace()
        return self._child

    def _replace(self) -> "_Child":
        if self._child:
            self._child.kill()
        self._child = _Child(self._arguments, self._limits)
        return self._child


class _Child:
    """A process that runs api.source.sandbox, and this side of its socket."""

    def __init__(self, arguments: list[str], limits: DecodeLimits) -> None:
        self._limits = limits
        self._ready = False
        self._sock, theirs = socket.socketpair()
        with theirs:
            # No shell; every argument is our own. The environment is not ours: it would hold secrets.
            self._process = subprocess.Popen(  # noqa: S603
                [*command("api.source.sandbox"), str(theirs.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | _ONE_THREAD,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is for the service, which lets it finish
            )

    def wait_ready(self, deadline: Deadline) -> None:
        """Raises DeadlineExceeded (the process goes on starting), ObjectCutError (it cannot start)."""
        if self._ready:
            return
        try:
            answer, _ = self._answer(deadline)
        except TimeoutError:
            raise DeadlineExceeded("no time left to wait for a decoding process") from None
        except (OSError, EOFError):
            raise ObjectCutError(f"a decoding process ended at its start: status {self.wait()}") from None
        self._ready = True
        if not answer["confined"]:
            logger.warning("decoding processes cannot be kept from the network on this system")

    def decode(self, data: bytes, deadline: Deadline) -> Picture:
        """Raises decode's errors; TimeoutError; whatever reading an answer raises that is not one."""
        for part in (HEADER.pack(len(data)), data):
            self._sock.settimeout(_seconds(deadline))
            self._sock.sendall(part)
        answer, descriptor = self._answer(deadline)
        for note in answer["notes"]:
            logger.warning("%s", note)
        try:
            if "error" in answer:
                kind = getattr(errors, answer["error"]) if answer["error"] in _ERRORS else ObjectCutError
                raise kind(answer["detail"], public=answer.get("public"))
            if descriptor is None:
                raise ValueError("the decoding process sent no pixels")
            return self._picture(answer, descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> int:
        """Its exit status; the wait is for one that has closed its socket and is about to end."""
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def close(self) -> None:
        """Lets it end by itself."""
        self._sock.close()
        self.wait()

    def kill(self) -> None:
        self._process.kill()
        self.close()

    def _answer(self, deadline: Deadline) -> tuple[dict[str, Any], int | None]:
        """One line, and the descriptor that came with it."""
        line = b""
        descriptors: list[int] = []
        try:
            while not line.endswith(b"\n"):
                self._sock.settimeout(_seconds(deadline))
                part, received, _, _ = socket.recv_fds(self._sock, _MAX_LINE, 1)
                descriptors += received
                line += part
                if not part or len(line) > _MAX_LINE:
                    raise EOFError
            answer: dict[str, Any] = json.loads(line)
            return answer, descriptors.pop() if descriptors else None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _picture(self, answer: dict[str, Any], descriptor: int) -> Picture:
        """The arrays lie in the file itself, which lives as long as they do."""
        height, width = answer["shape"]
        alpha_size = height * width * 4 if answer["alpha"] else 0
        size = alpha_size + height * width * 3
        if sys.platform == "linux":
            # From now on the process can neither change it nor, by making it shorter, crash us.
            fcntl.fcntl(
                descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
            )
        if height * width > self._limits.max_pixels or os.fstat(descriptor).st_size != size:
            raise ValueError("the decoding process does not keep to its limits")
        # Private, so that the arrays can be written to: a page is copied when that happens.
        pixels = mmap.mmap(descriptor, size, flags=mmap.MAP_PRIVATE)
        alpha = (
            np.frombuffer(pixels, np.float32, alpha_size // 4).reshape(height, width) if alpha_size else None
        )
        return Picture(np.frombuffer(pixels, np.uint8, offset=alpha_size).reshape(height, width, 3), alpha)


def _seconds(deadline: Deadline) -> float:
    """For a socket, to which 0 would mean something else."""
    return max(deadline.remaining(), 0.001)
