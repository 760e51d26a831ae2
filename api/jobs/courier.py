"""Brings a webhook to an address that a stranger chose: the same guard as for downloads, and no redirects."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Protocol

import httpcore

from api.errors import InvalidOptions, SourceForbidden, SourceTimeout, SourceUnreachable
from api.source.fetch import FetchConfig, guard_of, loggable
from api.source.netguard import Resolver, SystemResolver, host_of, port_of
from api.source.wire import TRANSPORT_ERRORS, Wire

_ANSWER_BYTES = 16_384
_ANSWER_SECONDS = 1.0


class Courier(Protocol):
    """Posts to a stranger's address."""

    def check(self, url: str) -> None:
        """Judges what the URL's text alone shows. Raises InvalidOptions."""
        ...

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float) -> int:
        """The status of the answer. Raises SourceError, InvalidOptions."""
        ...

    async def close(self) -> None:
        """Lets go of threads."""
        ...


class HttpCourier:
    """The `Courier` of production: a connection for each delivery, judged as each download's is.

    resolve, network, tls, on_refusal: see HttpFetcher.
    """

    def __init__(
        self,
        config: FetchConfig,
        *,
        resolve: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        on_refusal: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config
        self._resolver: Resolver = resolve or SystemResolver(config.resolver_threads)
        self._guard = guard_of(config, self._resolver, network, on_refusal)
        self._tls = tls or httpcore.default_ssl_context()

    async def close(self) -> None:
        """Ends the resolver's threads, where they are ours."""
        if isinstance(self._resolver, SystemResolver):
            self._resolver.close()

    def check(self, url: str) -> None:
        """See Courier."""
        try:
            self._guard.check_url(url, "webhook_url")
        except SourceForbidden as exc:
            raise InvalidOptions(
                str(exc), public="webhook_url is not valid: it leads to this service."
            ) from exc

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float) -> int:
        """See Courier. seconds: for everything, from DNS to the status."""
        target = self._guard.check_url(url, "webhook_url")
        request = httpcore.Request(
            b"POST",
            httpcore.URL(
                scheme=target.scheme, host=target.raw_host, port=port_of(target), target=target.raw_path
            ),
            headers=[
                (b"Host", target.netloc),
                (b"User-Agent", self._config.user_agent.encode("ascii")),
                (b"Content-Type", b"application/json"),
                (b"Content-Length", str(len(body)).encode()),
                (b"Connection", b"close"),
                *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()),
            ],
            content=body,
            extensions={"timeout": {"connect": self._config.connect_timeout}},
        )
        wire = Wire(self._guard, self._config.max_overhead)
        try:
            async with asyncio.timeout(seconds):
                connection = httpcore.AsyncHTTPConnection(request.url.origin, self._tls, network_backend=wire)
                response = await connection.handle_async_request(request)
            await _read(response)
            return response.status
        except (httpcore.TimeoutException, TimeoutError):
            raise SourceTimeout(f"{loggable(target)} was too slow") from None
        except TRANSPORT_ERRORS as exc:
            raise SourceUnreachable(f"{host_of(target)}: {type(exc).__name__}: {exc}") from exc
        finally:
            await wire.aclose()


async def _read(response: httpcore.Response) -> None:
    """Until the answer has ended, or for the first bytes and seconds of one that goes on."""
    size = 0
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            async for chunk in response.aiter_stream():
                size += len(chunk)
                if size > _ANSWER_BYTES:
                    break
    except (TimeoutError, httpcore.TimeoutException, *TRANSPORT_ERRORS):
        pass  # the status has come: that is the answer
