"""A whole service as a process of its own, with a fake network: for what only a real process shows.

    python -m tests.api.small_server PORT DIRECTORY

Everything but the network is real: sockets, signals, decoding processes, files. It starts in a second or two,
as it needs no torch. SIGUSR1 is the loss of its device.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from api.app import create_app
from api.serve import run
from api.settings import Settings
from tests.fakes import FakeEngine

_START_SECONDS = 200.0
"""On a machine that is busy with others; a second on one that is not."""


def main() -> int:
    """The process."""
    settings = Settings.model_validate(
        {
            "anonymous": True,
            "port": int(sys.argv[1]),
            "data_dir": sys.argv[2],
            "cpu_jobs": 1,
            "drain_delay": 4.0,
        }
    )
    app = create_app(settings, engine=FakeEngine())
    signal.signal(signal.SIGUSR1, lambda *_: setattr(app.state.service, "lost", "lite: a scripted loss"))
    return run(app)


@contextmanager
def small_server(directory: Path, port: int) -> Iterator[tuple["subprocess.Popen[bytes]", httpx.Client]]:
    """The process, ready, and a client of it. It is killed when it has not ended by then."""
    command = [sys.executable, "-m", "tests.api.small_server", str(port), str(directory)]
    with (
        subprocess.Popen(
            command, cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"}
        ) as child,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        try:
            until = time.monotonic() + _START_SECONDS
            while not _ready(http):
                assert child.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield child, http
        finally:
            child.kill()


def _ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
