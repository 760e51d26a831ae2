"""objectcut health: what a container's health check sees."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from api.cli import app


class Half(BaseHTTPRequestHandler):
    """Alive, and not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Half) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("options", "status"),
    [pytest.param(["--path", "/healthz"], 0, id="alive"), pytest.param([], 1, id="not ready")],
)
def test_the_status_is_the_servers(port: int, options: list[str], status: int) -> None:
    assert CliRunner().invoke(app, ["health", "--port", str(port), *options]).exit_code == status


def test_nobody_answers(unused_tcp_port: int) -> None:
    result = CliRunner().invoke(app, ["health", "--port", str(unused_tcp_port)])
    assert result.exit_code == 1
