"""Sends requests and keeps what became of them. A connection each: a refusal costs what it costs."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from tests.load.pictures import Photo

PATIENCE = 30.0
"""Seconds that a client waits: longer than the service's own deadline."""
_BOUNDARY = "5a0e6f2c9b"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


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
                head = await self._answer(request)
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

    async def _answer(self, request: bytes) -> bytes:
        """The answer's head. Raises OSError, ValueError: no whole answer."""
        loop = asyncio.get_running_loop()
        transport, exchange = await loop.create_connection(
            lambda: _Exchange(request), "127.0.0.1", self._port
        )
        try:
            return await exchange.answered
        finally:
            transport.abort()


class _Exchange(asyncio.Protocol):
    """One request and its answer, whose body is counted and dropped.

    On transports rather than streams: the sender shares its cores with the server that it measures. answered:
    the answer's head, once its whole body has come. Raises OSError, ValueError: no whole answer.
    """

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._head = b""
        self._missing: int | None = None
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not awaited: a server that has decided may answer before all is sent.
        cast(asyncio.WriteTransport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._missing is None:
            self._head += data
            head, end, body = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = _LENGTH.search(head)
            if not length:
                self._fail(ValueError("no answer"))
                return
            self._head, self._missing, data = head + end, int(length[1]), body
        self._missing -= len(data)
        if self._missing <= 0 and not self.answered.done():
            self.answered.set_result(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the answer ended early"))

    def _fail(self, exc: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(exc)
