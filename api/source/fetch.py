"""Downloads the image behind a URL that a stranger chose: guarded, counted, and on one clock."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Annotated
from weakref import WeakValueDictionary

import httpcore
import httpx
from pydantic import BaseModel, ConfigDict, Field

from api.errors import (
    DeadlineExceeded,
    SourceTimeout,
    SourceTooLarge,
    SourceTruncated,
    SourceUnreachable,
)
from api.source.netguard import NetGuard, Network, Resolver, SystemResolver, host_of, port_of
from api.source.wire import TRANSPORT_ERRORS, Wire
from model.deadline import Deadline

_TINY = 1_024  # bytes
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchConfig(BaseModel):
    """How images are downloaded from URLs in requests."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout: float = Field(
        5.0, gt=0, le=60, description="Seconds for a whole download: DNS, redirects and body together."
    )
    connect_timeout: float = Field(2.0, gt=0, le=60, description="Seconds to connect to one address.")
    max_bytes: int = Field(25_000_000, gt=0, le=1_000_000_000, description="Largest body, bytes.")
    max_overhead: int = Field(
        65_536,
        ge=4_096,
        le=16_777_216,
        description="Headers and framing that a response may cost, bytes; chunks may add a 64th of the body.",
    )
    max_redirects: int = Field(3, ge=0, le=10, description="Redirects followed.")
    stall_grace: float = Field(2.0, gt=0, le=60, description="Seconds before min_rate applies to a body.")
    min_rate: int = Field(10_000, gt=0, le=100_000_000, description="Slowest body, bytes per second.")
    per_host: int = Field(4, gt=0, le=1_000, description="Downloads from one host at a time.")
    resolver_threads: int = Field(8, gt=0, le=256, description="DNS look-ups at a time.")
    ports: tuple[Annotated[int, Field(ge=1, le=65_535)], ...] = Field(
        (80, 443), min_length=1, description="Ports that may be fetched from."
    )
    allow_networks: tuple[Network, ...] = Field(
        (),
        description="Networks that may be fetched from although they are private, such as `192.168.1.0/24`.",
    )
    allow_nat64: bool = Field(
        False,
        description="Behind NAT64: judge the IPv4 address inside 64:ff9b::/96 instead of refusing it.",
    )
    deny_hosts: tuple[str, ...] = Field(
        (), description="Host names never fetched from: the public names of this service itself."
    )
    user_agent: str = Field(
        "objectcut (image fetcher)",
        pattern=r"^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$",
        description="How downloads name themselves.",
    )


def guard_of(
    config: FetchConfig,
    resolve: Resolver,
    network: httpcore.AsyncNetworkBackend | None,
    on_refusal: Callable[[str], None] | None,
) -> NetGuard:
    """The guard of everything that goes out to an address that a stranger named."""
    return NetGuard(
        resolve=resolve,
        network=network,
        allow_networks=config.allow_networks,
        allow_nat64=config.allow_nat64,
        ports=config.ports,
        deny_hosts=config.deny_hosts,
        on_refusal=on_refusal,
    )


class HttpFetcher:
    """The `Fetcher` of production.

    Every hop has its own connection, and so its own judgement: there is no pool, no proxy from the
    environment, no cookie, and nothing of the client's request is passed on.

    resolve: replaces the system's resolver. network: replaces how a judged address is dialled.
    tls: replaces the default TLS context. on_refusal: is told the reason of each refused address.
    """

    def __init__(
        self,
        config: FetchConfig | None = None,
        *,
        resolve: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
        on_refusal: Callable[[str], None] | None = None,
    ) -> None:
        self._config = config or FetchConfig()
        self._resolver: Resolver = resolve or SystemResolver(self._config.resolver_threads)
        self._guard = guard_of(self._config, self._resolver, network, on_refusal)
        self._tls = tls or httpcore.default_ssl_context()
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def close(self) -> None:
        """Ends the resolver's threads, where they are ours."""
        if isinstance(self._resolver, SystemResolver):
            self._resolver.close()

    async def fetch(self, url: str, *, deadline: Deadline) -> bytes:
        """The body behind `url`, complete, at most max_bytes.

        Raises InvalidOptions (the URL itself), SourceError (anything else), DeadlineExceeded.
        """
        target = self._guard.check_url(url)
        try:
            async with asyncio.timeout(min(self._config.timeout, deadline.remaining())):
                return await self._follow(target)
        except TimeoutError:
            if deadline.remaining() <= 0:
                raise DeadlineExceeded("no time left to download the image") from None
            raise SourceTimeout(f"{loggable(target)} was too slow") from None

    async def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(self._config.max_redirects + 1):
            # Held weakly by name: it lives exactly as long as somebody fetches from that host.
            slot = self._hosts.setdefault(host_of(url), asyncio.Semaphore(self._config.per_host))
            async with slot:
                answer = await self._hop(url)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise SourceUnreachable(f"more than {self._config.max_redirects} redirects")

    async def _hop(self, url: httpx.URL) -> bytes | httpx.URL:
        """One request on one connection: the body, or where to go next."""
        wire = Wire(self._guard, self._config.max_overhead)
        target = httpcore.URL(scheme=url.scheme, host=url.raw_host, port=port_of(url), target=url.raw_path)
        headers = [
            (b"Host", url.netloc),
            (b"User-Agent", self._config.user_agent.encode("ascii")),
            (b"Accept", b"image/*, */*;q=0.1"),
            (b"Accept-Encoding", b"identity"),
            (b"Connection", b"close"),
        ]
        timeouts = {"timeout": {"connect": self._config.connect_timeout}}
        request = httpcore.Request(b"GET", target, headers=headers, extensions=timeouts)
        try:
            connection = httpcore.AsyncHTTPConnection(target.origin, self._tls, network_backend=wire)
            response = await connection.handle_async_request(request)
            location = _header(response, b"location")
            if response.status in _REDIRECTS and location:
                return self._guard.check_redirect(url, location.decode("utf-8", "replace"))
            self._check_head(response, url)
            return await self._body(response, wire)
        except (httpcore.TimeoutException, TimeoutError):
            raise SourceTimeout(f"{loggable(url)} was too slow") from None
        except TRANSPORT_ERRORS as exc:
            raise SourceUnreachable(f"{loggable(url)}: {type(exc).__name__}: {exc}") from exc
        finally:
            await wire.aclose()

    def _check_head(self, response: httpcore.Response, url: httpx.URL) -> None:
        if response.status != 200:
            raise SourceUnreachable(f"{loggable(url)} answered {response.status}")
        coding = _header(response, b"content-encoding").strip().lower()
        if coding not in (b"", b"identity"):
            # Inflating would let 200 kB become 200 MB; we asked for identity, so this is the origin's fault.
            raise SourceUnreachable(f"{loggable(url)} answered in {coding[:40]!r}")
        # h11 has already refused a malformed or ambiguous length.
        if int(_header(response, b"content-length") or 0) > self._config.max_bytes:
            raise SourceTooLarge(f"{loggable(url)} announced more than {self._config.max_bytes} bytes")

    async def _body(self, response: httpcore.Response, wire: Wire) -> bytes:
        chunks: list[bytes] = []
        now = asyncio.get_running_loop().time()
        async with asyncio.timeout_at(now + self._config.stall_grace) as stall:
            try:
                async for chunk in response.aiter_stream():
                    chunks.append(chunk)
                    wire.body += len(chunk)
                    if wire.body > self._config.max_bytes:
                        raise SourceTooLarge(f"more than {self._config.max_bytes} bytes")
                    if len(chunk) < _TINY:
                        await asyncio.sleep(0)  # many of them arrive at once: others have their turn between
                    # Each byte earns time: who falls behind min_rate after the grace has none left.
                    stall.reschedule(now + self._config.stall_grace + wire.body / self._config.min_rate)
            except TRANSPORT_ERRORS as exc:
                raise SourceTruncated(f"after {wire.body} bytes: {exc}") from exc
        return b"".join(chunks)


def _header(response: httpcore.Response, name: bytes) -> bytes:
    """Its value; several of one name are joined, as they mean the same."""
    return b",".join(value for key, value in response.headers if key.lower() == name)


def loggable(url: httpx.URL) -> str:
    """Without query, which often carries a signature."""
    path = url.raw_path.partition(b"?")[0][:200]
    return f"{url.scheme}://{(url.netloc + path).decode('ascii')}"
