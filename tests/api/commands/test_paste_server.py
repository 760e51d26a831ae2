"""objectcut paste-server: a real process between a phone's requests and a service."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from api.cli import app
from tests.api.paste.screens import HEIGHT, WIDTH, screen, shot
from tests.api.small_server import small_server
from tests.fakes import photo

_START_SECONDS = 200.0
"""On a machine that is busy with others."""


def test_an_unknown_model() -> None:
    result = CliRunner().invoke(app, ["paste-server", "--model", "no-such"])
    assert (result.exit_code, "no such model" in result.output) == (2, True)


@contextmanager
def paste_server(port: int, *arguments: str) -> Iterator[httpx.Client]:
    """The process, once it answers. SIGINT ends it, as Ctrl-C does."""
    command = [sys.executable, "-m", "api.cli", "paste-server", "--port", str(port), *arguments]
    with (
        subprocess.Popen(command, cwd=Path(__file__).parents[3]) as child,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        try:
            until = time.monotonic() + _START_SECONDS
            while not _answers(http):
                assert child.poll() is None
                assert time.monotonic() < until
                time.sleep(0.1)
            yield http
        finally:
            child.send_signal(signal.SIGINT)


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/").is_success
    except httpx.TransportError:
        return False


@pytest.mark.timeout(500)
def test_a_phone_cuts_and_pastes(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> None:
    port, pasted, shown = unused_tcp_port_factory(), tmp_path / "pasted", tmp_path / "screen.png"
    cv2.imwrite(str(shown), screen(1)[..., ::-1])
    view = cv2.imencode(".jpg", shot(screen(1), 1).view[..., ::-1])[1].tobytes()
    with small_server(tmp_path / "service", port) as (_, service):
        arguments = ("--url", str(service.base_url), "-o", str(pasted), "--screen", str(shown))
        with paste_server(unused_tcp_port_factory(), *arguments, "--no-clipboard") as phone:
            assert phone.get("/ping").text == "pong"
            assert phone.post("/cut", files={"data": photo(256, 256)}).headers["content-type"] == "image/png"
            answer = phone.post("/paste", files={"data": view}).json()
    assert answer["status"] == "ok"
    canvas = cv2.imread(str(pasted / answer["pasted"][0]), cv2.IMREAD_UNCHANGED)
    assert canvas is not None
    assert canvas.shape == (HEIGHT, WIDTH, 4)
    rows, columns = np.nonzero(canvas[..., 3])
    middle = np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2
    assert np.abs(middle - (answer["x"], answer["y"])).max() < 2
