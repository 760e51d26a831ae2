"""Sends requests and keeps what became of them. A connection each: a refusal costs what it costs."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.load.pictures import Photo

PATIENCE = 30.0
"""Seconds that a client waits: longer than the service's own deadline."""
_BOUNDARY = "5a0e6f2c9b"


@dataclass(frozen=True, slots=True)
class Answer:
    """One request. status: 0 when the connection failed. began, ended: s on the monotonic clock."""

    status: int
    retry_after: bool
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def good(self) -> bool:
        return self.status in (200, 201)

    @property
    def shed(self) -> bool:
        """Turned away politely."""
        return self.status == 429 and self.retry_after


class Sender:
    """Sends photos, in their order over and over, to one route of a server on the loopback.

    field: of the form that the route wants them in; None: it takes them as they are. more: the form's others.
    """

    def __init__(
        self,
        port: int,
        photos: Sequence[Photo],
        *,
        path: str = "/v1/cutouts",
        field: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self._port, self._path, self._field, self._more = port, path, field, more or {}
        self._requests = [self._request(photo) for photo in photos]
        self._sent = 0

    async def send(self) -> Answer:
        """One request."""
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                head = await self._exchange(request)
        except (OSError, TimeoutError, ValueError):
            return Answer(0, False, began, time.monotonic())
        status = int(head.split(b" ", 2)[1])
        return Answer(status, b"\r\nretry-after:" in head.lower(), began, time.monotonic())

    async def closed_loop(self, concurrency: int, seconds: float) -> list[Answer]:
        """So many clients, each of which waits for its answer before it asks again."""
        end = time.monotonic() + seconds
        answers: list[Answer] = []

        async def client() -> None:
            while time.monotonic() < end:
                answers.append(await self.send())

        await asyncio.gather(*(client() for _ in range(concurrency)))
        return answers

    async def open_loop(self, rate: float, seconds: float, *, seed: int = 0) -> list[Answer]:
        """`rate` requests per second, answered or not, as strangers come: a Poisson process."""
        draw = np.random.default_rng(seed)
        start = time.monotonic()
        sending: list[asyncio.Task[Answer]] = []
        due = 0.0
        while (due := due + float(draw.exponential(1 / rate))) < seconds:
            await asyncio.sleep(max(0.0, start + due - time.monotonic()))
            sending.append(asyncio.create_task(self.send()))
        return list(await asyncio.gather(*sending))

    def _request(self, photo: Photo) -> bytes:
        body, media_type = photo.data, photo.media_type
        if self._field:
            file = f'name="{self._field}"; filename="photo"\r\nContent-Type: {photo.media_type}'
            parts = [(file, body), *((f'name="{name}"', text.encode()) for name, text in self._more.items())]
            body = b"".join(
                f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + data + b"\r\n"
                for head, data in parts
            )
            body += f"--{_BOUNDARY}--\r\n".encode()
            media_type = f"multipart/form-data; boundary={_BOUNDARY}"
        head = (
            f"POST {self._path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAccept: image/png\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    async def _exchange(self, request: bytes) -> bytes:
        """The answer's head; its body is read and dropped. Raises OSError, ValueError: no whole answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        try:
            writer.write(request)  # not awaited: a server that has decided may answer before all is sent
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0])
            while length > 0:
                piece = await reader.read(1 << 20)
                if not piece:
                    raise ConnectionError("the answer ended early")
                length -= len(piece)
            return head
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError) as exc:
            raise ValueError("no answer") from exc
        finally:
            writer.transport.abort()
