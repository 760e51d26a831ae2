"""A Hugging Face hub on the loopback, as far as its client needs one to get a file, with faults on demand.

    with Hub({"org/toy": data}) as hub:
        pull(spec, directory, endpoint=hub.url)

Like the real one it answers for a large file with its sha256 and a redirect to another host's bytes.
"""

import hashlib
import threading
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

Fault = int | str
"""A status to answer, or one of drop (half of the body, then the end), short (the body ends early, and the
length says so), flip (one bit of it is wrong), whole (Range is ignored)."""


class Hub:
    """files: the `model.safetensors` of each repository, at the branch main and at `commit`.

    tells_sha256: as a hub does of large files; a plain mirror does not, and sends the bytes itself.
    older: files that the branch has left behind, by their commits.
    faults: what becomes of the next requests for bytes, one each. asked: every request, as (method, path,
    Range).
    """

    def __init__(self, files: Mapping[str, bytes], *, tells_sha256: bool = True) -> None:
        self.files = dict(files)
        self.older: dict[str, bytes] = {}
        self.tells_sha256 = tells_sha256
        self.faults: deque[Fault] = deque()
        self.asked: list[tuple[str, str, str | None]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """For HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range of every request for bytes that was answered by bytes or a fault."""
        return [asked for method, path, asked in self.asked if method == "GET" and self.gives_bytes(path)]

    def gives_bytes(self, path: str) -> bool:
        """Whether bytes are had there, rather than a redirect."""
        return path.startswith("/bytes/") or not self.tells_sha256

    def commit(self, repo: str) -> str:
        """Moves with the file, as a branch's does."""
        return commit_of(self.files[repo])

    def publish(self, repo: str, data: bytes) -> None:
        """A new version; the one of before is still had by its commit."""
        self.older[self.commit(repo)] = self.files[repo]
        self.files[repo] = data


def commit_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


class _Server(ThreadingHTTPServer):
    hub: Hub
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        hub.asked.append((self.command, self.path, self.headers.get("Range")))
        repo, _, rest = self.path.removeprefix("/bytes").lstrip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        if repo not in hub.files:
            self._head(404, {"X-Error-Code": "RepoNotFound", "Content-Length": "0"})
        elif revision not in ("main", hub.commit(repo), *hub.older):
            self._head(404, {"X-Error-Code": "RevisionNotFound", "Content-Length": "0"})
        elif file != "model.safetensors":
            self._head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})
        elif self.command == "HEAD" or not hub.gives_bytes(self.path):
            self._describe(hub.older.get(revision, hub.files[repo]))
        else:
            self._send(hub.older.get(revision, hub.files[repo]), hub.faults.popleft() if hub.faults else "")

    def _describe(self, data: bytes) -> None:
        hub = self.server.hub
        facts = {"X-Repo-Commit": commit_of(data)}
        if hub.tells_sha256:
            facts |= {
                "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Linked-Size": str(len(data)),
                "Location": f"{hub.url.replace('127.0.0.1', 'localhost')}/bytes{self.path}",
                "Content-Length": "0",
            }
            self._head(302, facts)
        else:
            self._head(200, facts | {"ETag": f'"{commit_of(data)}"', "Content-Length": str(len(data))})

    def _send(self, data: bytes, fault: Fault) -> None:
        if isinstance(fault, int):
            self._head(fault, {"Content-Length": "0"})
            return
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and fault != "whole" else 0
        body = bytearray(data[start:])
        if fault == "flip":
            body[-5] ^= 0x10
        if fault == "short":
            body = body[: len(body) // 2]
        facts = {"Content-Length": str(len(body))}
        if start:
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._head(206 if start else 200, facts)
        self.wfile.write(body[: len(body) // 2] if fault == "drop" else body)
        self.close_connection = True

    def _head(self, status: int, fields: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `asked` tells."""
