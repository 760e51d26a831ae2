"""An app on a real socket of this process, for clients that know nothing but HTTP."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

SECONDS = 60
"""For it to start, on a machine that is busy with others."""


@contextmanager
def listening(make: Callable[[str], ASGIApp]) -> Iterator[str]:
    """Serves what `make` gives for the address, http://127.0.0.1:port, which is also what this yields."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(make(url), log_config=None, ws="none", lifespan="on"))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            until = time.monotonic() + SECONDS
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield url
        finally:
            server.should_exit = True
            thread.join()
