"""An origin that speaks raw bytes, a name server that says what it is told, and a net that ends at home.

    async with ScriptedOrigin({"/a.png": reply(PNG)}) as origin:
        fetcher = HttpFetcher(resolve=FakeDNS({"img.example": [[PUBLIC]]}), network=origin.network())

The fetcher resolves, judges and "dials" a public address; `network()` records that and connects to the
origin on the loopback instead, so the guard is tested as it runs in production.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

import httpcore

PUBLIC = "93.184.216.34"
"""An address that every guard lets through; nothing is ever sent to it."""

Step = bytes | float | Callable[[asyncio.StreamWriter], Awaitable[None]]
"""bytes are sent; a number of seconds is waited; a callable does what it likes with the connection."""


def reply(
    body: bytes = b"",
    *,
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
    length: int | None = -1,
) -> bytes:
    """One whole answer. length: what Content-Length says (None: no such header; -1: the truth)."""
    fields = dict(headers or {})
    if length is not None:
        fields["Content-Length"] = str(len(body) if length < 0 else length)
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def redirect(location: str, status: int = 302) -> bytes:
    """An answer that sends the client elsewhere."""
    return reply(status=f"{status} Moved", headers={"Location": location})


def forever(data: bytes, every: float = 0.0) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    """A step that sends `data` again and again, each `every` seconds, until the client leaves."""

    async def send(writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(every)

    return send


class ScriptedOrigin:
    """Answers each path with its script, then closes; other paths get a 404.

    requests: the heads received, as text. connections: how many were accepted. busiest: most at a time.
    """

    def __init__(
        self, paths: Mapping[str, Sequence[Step] | bytes] | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.paths = dict(paths or {})
        self.requests: list[str] = []
        self.connections = 0
        self.busiest = 0
        self.port = 0
        self._open = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def network(self) -> "LoopbackNetwork":
        """Leads every address to this origin."""
        return LoopbackNetwork(self.port)

    def url(self, path: str = "/") -> str:
        """Of this origin, at its real address: for a fetcher that is allowed 127.0.0.0/8 and this port."""
        return f"http://127.0.0.1:{self.port}{path}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        self.busiest = max(self.busiest, self._open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.requests.append(head)
            script = self.paths.get(
                head.split()[1].partition("?")[0], reply(b"nothing", status="404 Not Found")
            )
            for step in [script] if isinstance(script, bytes) else script:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, int | float):
                    await asyncio.sleep(step)
                else:
                    await step(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left, which is what many of these tests are about
        finally:
            self._open -= 1
            writer.close()


class FakeDNS:
    """A resolver whose n-th answer for a name is the n-th of its list; the last one repeats.

    lookups: the names asked for, in order.
    """

    def __init__(self, names: Mapping[str, Sequence[Sequence[str]]], *, delay: float = 0.0) -> None:
        self._names = {name: [list(each) for each in answers] for name, answers in names.items()}
        self._delay = delay
        self.lookups: list[str] = []

    async def __call__(self, host: str) -> list[str]:
        self.lookups.append(host)
        await asyncio.sleep(self._delay)
        if host not in self._names:
            raise OSError(f"no such name: {host}")
        answers = self._names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class LoopbackNetwork(httpcore.AsyncNetworkBackend):
    """Connects to 127.0.0.1:port whatever is dialled. dialled: the (address, port) pairs asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._network = httpcore.AnyIOBackend()
        self.dialled: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        return await self._network.connect_tcp("127.0.0.1", self._port, timeout)
