"""Where decoding processes come from: one that has loaded the decoder, and forks.

So what the libraries take is in memory once, and who takes a dead one's place is there within milliseconds.
It has one thread, nobody's secrets and no file from outside in its memory, unlike the service, which is never
forked itself.
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress

from api.source.sandbox import FORK, NUMBER, RUNNING
from model.interpreter import command

_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
# One thread, one malloc arena: each would map address space that counts against the limit.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_PATIENCE = 10.0
"""Seconds for what takes it no time."""


class Family:
    """The fork server, and the next one where that has died. For many threads at once.

    arguments: of api.source.sandbox, for both.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._lock = threading.Lock()
        self._server: ForkServer | None = None

    def fork(self, sock: socket.socket, memory: int) -> "ForkServer":
        """Asks for a process, as ForkServer.fork. The one that was asked."""
        with self._lock:
            if self._server:
                try:
                    self._server.fork(sock, memory)
                    return self._server
                except OSError:
                    self._server.close()
            self._server = ForkServer(self._arguments)
            self._server.fork(sock, memory)
            return self._server

    def close(self) -> None:
        """Ends the server, and what has come from it. Safe to call twice."""
        with self._lock:
            if self._server:
                self._server.close()
                self._server = None


class ForkServer:
    """A process that runs api.source.sandbox with `arguments`, and its children, which it takes with it.

    For many threads at once.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._sock, theirs = socket.socketpair()
        self._sock.settimeout(_PATIENCE)
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

    def fork(self, sock: socket.socket, memory: int) -> None:
        """Asks for a child that serves this socket, with copies of its own of both descriptors.

        It says that it is there on the socket, which closes where nobody comes. Raises OSError.
        """
        with self._lock:
            socket.send_fds(self._sock, [NUMBER.pack(FORK)], [sock.fileno(), memory])

    def status(self, pid: int) -> int | None:
        """A child's exit status, -N for a signal, which can be asked for once; None while it runs."""
        with self._lock:
            try:
                self._sock.sendall(NUMBER.pack(pid))
                answer = self._sock.recv(NUMBER.size, socket.MSG_WAITALL)
            except OSError:
                self._process.kill()  # or an answer that comes late would be taken for the next one's
                answer = b""
        if len(answer) < NUMBER.size:  # it was killed, and its children with it
            return -signal.SIGKILL
        (status,) = NUMBER.unpack(answer)
        return None if status == RUNNING else status

    def kill(self, pid: int) -> None:
        """Ends a child whose status is not known yet: until then nobody else has its number."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Lets it end by itself, with all of its children."""
        self._sock.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
