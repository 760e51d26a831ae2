"""`objectcut serve` as a process of its own, with the shipped network, and pictures to send it."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray
from skimage import data

START_SECONDS = 200.0
"""For the network to be warm, on a machine that is busy with others."""


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve(folder: Path, *, port: int | None = None, **settings: str) -> Iterator[str]:
    """Its origin, once it is ready. settings: OBJECTCUT_… variables without their prefix.

    Without SECRET_ACCESS it serves everybody. At the end it is told to stop, and must do so.
    """
    port = port or free_port()
    variables = {f"OBJECTCUT_{name}": value for name, value in settings.items()}
    command = [
        str(Path(sys.executable).with_name("objectcut")),
        *("serve", "--port", str(port), "--data-dir", str(folder / "data")),
        *([] if "SECRET_ACCESS" in settings else ["--anonymous"]),
    ]
    log = folder / f"server-{port}.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"OBJECTCUT_DRAIN_DELAY": "0", "OMP_NUM_THREADS": "1"} | variables,
        ) as child,
    ):
        try:
            origin = f"http://127.0.0.1:{port}"
            _wait(child, origin, log)
            yield origin
        finally:
            child.terminate()
            try:
                child.wait(30)
            finally:
                child.kill()


def _wait(child: "subprocess.Popen[bytes]", origin: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        assert child.poll() is None, log.read_text()[-4000:]
        with suppress(httpx.TransportError):
            if httpx.get(f"{origin}/readyz").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-4000:])


@contextmanager
def web(pages: Mapping[str, bytes]) -> Iterator[str]:
    """A site of its own on the loopback; its origin. What is not in `pages` is a 404."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def astronaut() -> NDArray[np.uint8]:
    """(512, 512, 3) uint8: scikit-image's public-domain portrait."""
    return np.asarray(data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]


def encoded(rgb: NDArray[np.uint8], kind: str = ".png") -> bytes:
    """(H, W, 3) or, as PNG, (H, W, 4) uint8 as a file."""
    order = cv2.COLOR_RGBA2BGRA if rgb.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, file = cv2.imencode(kind, cv2.cvtColor(rgb, order))
    assert done
    return file.tobytes()


def ask(origin: str, photo: bytes, files: Mapping[str, bytes] | None = None, **options: str) -> bytes:
    """What the service itself answers."""
    answer = httpx.post(
        f"{origin}/v1/cutouts",
        files={"image": photo} | dict(files or {}),
        data=options,
        headers={"Accept": "image/*"},
        timeout=60,
    )
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.content


def pixels(file: bytes) -> NDArray[np.uint8]:
    """What is in a file: (H, W) grey, or (H, W, 3) or (H, W, 4) in the order of RGB."""
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    if image.ndim == 2:
        return np.asarray(image, np.uint8)
    order = cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(image, order), np.uint8)
