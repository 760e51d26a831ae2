"""One hop's network: dialled through the guard, and all that comes in counted."""

import ssl
from collections.abc import Callable, Iterable

import httpcore

from api.errors import SourceUnreachable
from api.source.netguard import NetGuard

TRANSPORT_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError, OSError, UnicodeError)
"""Whatever the network, the peer's protocol or its certificate can do to us. SSLError is an OSError."""


class Wire(httpcore.AsyncNetworkBackend):
    """One hop's network: dials through the guard, and counts what comes in.

    body: bytes of the body delivered so far; all else that arrived is headers and framing.
    """

    def __init__(self, guard: NetGuard, max_overhead: int) -> None:
        self.body = 0
        self._arrived = 0
        self._guard = guard
        self._max_overhead = max_overhead
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """The only way out of this module."""
        self._stream = await self._guard.dial(host, port, timeout=timeout)
        return _Counted(self._stream, self.count)

    def count(self, arrived: int) -> None:
        """Raises SourceUnreachable when headers, 1xx answers or tiny chunks outweigh what they carry."""
        if self._arrived - self.body > self._max_overhead + self.body // 64:
            raise SourceUnreachable("too many bytes of headers and framing")
        self._arrived += arrived

    async def aclose(self) -> None:
        """Closes the socket, which httpcore leaves open when a handshake is cut short."""
        if self._stream:
            await self._stream.aclose()


class _Counted(httpcore.AsyncNetworkStream):
    """A stream that reports the size of everything read from it, inside TLS where there is TLS."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, count: Callable[[int], None]) -> None:
        self._stream = stream
        self._count = count

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        data = await self._stream.read(max_bytes, timeout)
        self._count(len(data))
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _Counted(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._count)
