"""moto's S3 server with what it lacks: checksums of uploads, conditions of copies, and faults on demand."""

import base64
import io
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from hashlib import md5
from types import TracebackType
from typing import Any, Self

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "cutouts-of-tests"
KEY_ID, SECRET = "key-of-tests", "secret-of-tests"

Fault = int | str
"""A status to answer, or one of ok, reset, stall (no answer), lost (done, but no answer), garbled (one bit
of the upload arrives wrong), page (200 with a page that is no S3 answer)."""

Environ = dict[str, Any]
Start = Callable[..., Any]


class Quiet(WSGIRequestHandler):
    """Says nothing; a connection that a fault has closed is no news."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass

    def connection_dropped(self, error: BaseException, environ: Environ | None = None) -> None:
        pass


class S3Server:
    """Listens on 127.0.0.1 while it is entered. script: the faults of the next requests, in order."""

    def __init__(self) -> None:
        self._emulated = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self.answer, threaded=True, request_handler=Quiet)
        self._server.daemon_threads = True  # type: ignore[attr-defined]
        self.lock = threading.Lock()
        self.script: deque[Fault] = deque()
        self.requests: list[str] = []
        self.released = threading.Event()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """One request: the next fault of the script, or moto's answer."""
        condition = environ.get("HTTP_IF_NONE_MATCH") or environ.get("HTTP_IF_MATCH") or "-"
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {condition}")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        fault = self.script.popleft() if self.script else "ok"
        if fault == "stall":
            self.released.wait(60)
        if fault in ("stall", "reset"):
            return self.reset(environ)
        if isinstance(fault, int):
            return _refuse(start, fault, "FaultOfTests")
        if fault == "page":
            start("200 OK", [("Content-Type", "text/html"), ("Content-Length", "14")])
            return [b"<p>Not S3.</p>"]
        if fault == "garbled":
            body = body.replace(b"\x89PNG", b"\x88PNG")
        if fault == "lost":
            b"".join(self.emulate(environ, lambda *_: None, body))
            return self.reset(environ)
        return self.emulate(environ, start, body)

    def emulate(self, environ: Environ, start: Start, body: bytes) -> Iterable[bytes]:
        """moto's answer; one request at a time, so that conditions hold when an object appears."""
        given = environ.get("HTTP_CONTENT_MD5")
        if given and base64.b64decode(given) != md5(body, usedforsecurity=False).digest():
            return _refuse(start, 400, "BadDigest")
        environ["wsgi.input"] = io.BytesIO(body)
        with self.lock:
            wanted = environ.get("HTTP_X_AMZ_COPY_SOURCE_IF_MATCH")
            if wanted and wanted != self.etag(environ["PATH_INFO"]):
                return _refuse(start, 412, "PreconditionFailed")
            return list(self._emulated(environ, start))

    def etag(self, path: str) -> str | None:
        """Of the object that a copy onto itself names."""
        found = s3_backends["123456789012"]["aws"].get_object(BUCKET, path.removeprefix(f"/{BUCKET}/"))
        return found.etag if found else None

    def reset(self, environ: Environ) -> Iterable[bytes]:
        """Closes with RST instead of an answer."""
        connection: socket.socket = environ["werkzeug.socket"]
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
        raise ConnectionResetError

    def begin(self) -> None:
        """An empty bucket, and nothing left of the last test."""
        self.script.clear()
        self.released.clear()
        s3_backends.reset()
        s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")
        self.requests.clear()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="s3-server")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _refuse(start: Start, status: int, code: str) -> Iterable[bytes]:
    body = f"<Error><Code>{code}</Code><Message>{json.dumps(code)}</Message></Error>".encode()
    start(f"{status} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
