"""A real redis-server of the tests' own, on the loopback, with nothing written to disk."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARY = shutil.which("redis-server")
MISSING = "there is no redis-server here: `apt-get install redis-server` runs these tests too"
_START_SECONDS = 20.0


@contextmanager
def redis_server(directory: Path, port: int | None = None) -> Iterator[str]:
    """Serves while the context is open, by default on a free port; its URL."""
    assert BINARY
    port = port or free_port()
    process = subprocess.Popen(
        [BINARY, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(directory)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "redis-server has ended"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as asking:
                asking.sendall(b"PING\r\n")
                if asking.recv(5) == b"+PONG":
                    return
        except OSError:
            pass
        assert time.monotonic() < until, "redis-server does not answer"
        time.sleep(0.02)
