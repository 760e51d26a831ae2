"""gcp-storage-emulator with what it lacks: preconditions, a token endpoint, and faults on demand."""

import io
import json
import socket
import struct
import threading
from collections import deque
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage

BUCKET = "cutouts-of-tests"

Fault = int | str
"""A status to answer, or one of ok, reset, stall (no answer), lost (done, but no answer), garbled (one bit
of the upload arrives wrong)."""


class PreconditionFailed(Exception):
    """To be answered with 412."""


class StrictStorage(Storage):  # type: ignore[misc]
    """Honours ifGenerationMatch at the moment in which an object appears."""

    def __init__(self) -> None:
        super().__init__(use_memory_fs=True)
        self.request = threading.local()

    def create_file(self, bucket: str, name: str, *rest: Any) -> None:
        expected = getattr(self.request, "generation", None)
        generation = self.objects.get(bucket, {}).get(name, {}).get("generation", "0")
        if expected not in (None, generation):
            raise PreconditionFailed
        super().create_file(bucket, name, *rest)


class Handler(RequestHandler):  # type: ignore[misc]
    """One request: the next fault of the script, or the emulator's answer."""

    server: "GcsServer"
    rfile: IO[bytes]
    wfile: IO[bytes]

    def do_GET(self) -> None:
        self.answer(super().do_GET)

    def do_POST(self) -> None:
        if self.path == "/token":
            self.send({"access_token": "token-of-tests", "expires_in": 3600, "token_type": "Bearer"})
        else:
            self.answer(super().do_POST)

    def do_PUT(self) -> None:
        self.answer(super().do_PUT)

    def do_PATCH(self) -> None:
        self.answer(super().do_PATCH)

    def do_DELETE(self) -> None:
        self.answer(super().do_DELETE)

    def answer(self, emulated: Any) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        fault = self.server.script.popleft() if self.server.script else "ok"
        if fault == "stall":
            self.server.released.wait(60)
        if fault in ("stall", "reset"):
            self.reset()
        elif isinstance(fault, int):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_error(fault)
        else:
            if fault == "garbled":
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.rfile = io.BytesIO(body.replace(b"\x89PNG", b"\x88PNG"))
            if fault == "lost":
                self.wfile = io.BytesIO()
            self.emulate(emulated)
            if fault == "lost":
                self.reset()

    def emulate(self, emulated: Any) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        with self.server.lock:
            self.storage.request.generation = query.get("ifGenerationMatch")
            try:
                found = self.resource(unquote(url.path)) or {}
                if query.get("ifMetagenerationMatch") not in (None, found.get("metageneration")):
                    raise PreconditionFailed
                if self.command == "PATCH" and self.goes_back(found):
                    self.send_error(400)
                else:
                    emulated()
            except PreconditionFailed:
                self.send_error(412)

    def resource(self, path: str) -> dict[str, Any] | None:
        """What the emulator knows of the bucket or object that the path names."""
        bucket, _, name = path.removeprefix("/storage/v1/b/").partition("/o/")
        known = self.storage.objects.get(bucket, {}) if name else self.storage.buckets
        found: dict[str, Any] | None = known.get(name or bucket)
        return found

    def goes_back(self, found: dict[str, Any]) -> bool:
        """Whether the request's body sets a custom time to an earlier one, which Google refuses."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.rfile = io.BytesIO(body)
        earlier: bool = json.loads(body).get("customTime", "9999") < found.get("customTime", "")
        return earlier

    def send(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Closes with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


class GcsServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 while it is entered. script: the faults of the next requests, in order."""

    def __init__(self) -> None:
        self.storage = StrictStorage()
        super().__init__(("127.0.0.1", 0), partial(Handler, self.storage))
        self.lock = threading.Lock()
        self.script: deque[Fault] = deque()
        self.requests: list[str] = []
        self.released = threading.Event()
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        create_bucket(BUCKET, self.storage)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name="gcs-server")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self.shutdown()
        self._thread.join()
        self.server_close()


def write_service_account(path: Path, token_endpoint: str) -> rsa.RSAPublicKey:
    """A service account's key file with a key of its own, and the public half that verifies its URLs."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": "project-of-tests",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "tests@project-of-tests.iam.gserviceaccount.com",
        "token_uri": f"{token_endpoint}/token",
    }
    path.write_text(json.dumps(account))
    return key.public_key()
