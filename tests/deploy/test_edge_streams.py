"""Answers that are sent bit by bit, and rooms, through the real Traefik, before servers that only count."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.deploy.edge import TRAEFIK, Edge, edge, until

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(120)]


class Upstream(ThreadingHTTPServer):
    """Answers a GET with a piece at once and the last when `more` is set. seen: methods and paths."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.more = threading.Event()
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield
        finally:
            self.more.set()
            self.shutdown()
            thread.join()
            self.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/readyz":
            self._whole(200)
            return
        self.server.seen.append(f"GET {self.path}")
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.server.more.wait(10)
        self.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")

    def do_POST(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._whole(204)

    do_DELETE = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def _whole(self, status: int) -> None:
        self.send_response(status)
        if status != httpx.codes.NO_CONTENT:
            self.send_header("Content-Length", "0")
        self.end_headers()


Served = tuple[Edge, Upstream, Upstream]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if not TRAEFIK.exists():
        pytest.skip("there is no Traefik for this machine")
    first, second = Upstream(), Upstream()
    with ExitStack() as stack:
        stack.enter_context(first.running())
        stack.enter_context(second.running())
        apis = f"{first.url},{second.url}"
        running = stack.enter_context(
            edge(tmp_path_factory.mktemp("edge"), APIS=apis, RATE="1000", BURST="1000")
        )
        with running.client() as http:

            def both() -> bool:
                http.post("/v1/cutouts")
                return bool(first.seen and second.seen)

            until(both, 20)
        yield running, first, second


@pytest.mark.parametrize("path", ["/v1/jobs/a/events", "/v1/jobs/a/results", "/v1/rooms/a/events"])
def test_the_beginning_of_an_answer_arrives_before_its_end(served: Served, path: str) -> None:
    running, *services = served
    for service in services:
        service.more.clear()
    with running.client() as http, http.stream("GET", path) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"
        for service in services:
            service.more.set()
        assert b"".join(pieces) == b"last"
    assert answer.headers["strict-transport-security"] == "max-age=31536000"


def test_rooms_are_the_first_services_and_nothing_else_is(served: Served) -> None:
    running, first, second = served
    for service in (first, second):
        service.more.set()
        service.seen.clear()
    asked = [
        ("POST", "/v1/rooms"),
        ("POST", "/v1/rooms/a/screen"),
        ("GET", "/v1/rooms/a/events"),
        ("GET", "/v1/rooms/a/cutouts/1"),
        ("DELETE", "/v1/rooms/a"),
    ]
    with running.client() as http:
        for method, path in asked * 3:
            assert http.request(method, path).is_success
        assert first.seen == [" ".join(each) for each in asked * 3]
        assert second.seen == []
        for _ in range(6):
            assert http.get("/v1/jobs/a").is_success
    assert len(second.seen) == 3


def test_uploads_to_rooms_are_bounded(served: Served) -> None:
    running, first, _ = served
    first.seen.clear()
    with running.client() as http:
        assert http.post("/v1/rooms/a/screen", content=bytes(26_100_000)).status_code == 413
        assert http.request("DELETE", "/v1/rooms/a", content=bytes(1_100_000)).status_code == 413
    assert first.seen == []
