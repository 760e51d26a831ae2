"""Decides which URLs, names and addresses a download may touch, and dials only what it has judged.

A check on the URL's text alone is not sound (`127.1`, DNS rebinding, redirects), so the judgement is
made where the connection is made: each hop's name is resolved once, every answer is judged, and the
judged address is the one dialled. `Host` and SNI keep the original name.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore
import httpx

from api.errors import InvalidUrl, SourceForbidden, SourceUnreachable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""A host name in, its addresses out. Raises OSError when there are none."""

# IANA special-purpose registries (RFC 6890 and successors) and the metadata services that live elsewhere.
# The first match counts. Of IPv6 only 2000::/3 is in use for the public, so the rest is denied at the end.
_DENIED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "this_network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier_nat"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),
        ("169.254.0.0/16", "link_local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "embedded_ipv4"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "this_network"),
        ("::1/128", "loopback"),
        ("::/96", "embedded_ipv4"),
        ("::ffff:0:0/96", "embedded_ipv4"),
        ("::ffff:0:0:0/96", "embedded_ipv4"),
        ("64:ff9b::/96", "embedded_ipv4"),
        ("64:ff9b:1::/48", "embedded_ipv4"),
        ("100::/64", "reserved"),
        ("2001::/32", "embedded_ipv4"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "embedded_ipv4"),
        ("3fff::/20", "documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link_local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("::/3", "reserved"),
        ("4000::/2", "reserved"),
        ("8000::/1", "reserved"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = 0x00005EFE
"""Upper half of an ISATAP interface identifier (RFC 5214), its universal/local bit cleared."""

_HOST_NAME = re.compile(r"(?!.*\.\.)[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_.])?")
_MAX_URL = 8_192  # characters
_MAX_DIALLED = 3  # addresses tried for one name


def refusal(address: Address, *, allow: Iterable[Network] = (), allow_nat64: bool = False) -> str | None:
    """Why `address` must not be dialled, as one word for the metrics, or None when it may be.

    allow: networks that are exempt. allow_nat64: judge the IPv4 address inside 64:ff9b::/96 instead of
    refusing it. Any other IPv6 address that carries an IPv4 address is refused whatever it carries.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "zone"
        if allow_nat64 and address in _NAT64:
            return refusal(IPv4Address(int(address) & 0xFFFFFFFF), allow=allow)
    if any(address in network for network in allow):
        return None
    for network, reason in _DENIED:
        if address in network:
            return reason
    if isinstance(address, IPv6Address) and (int(address) >> 32) & 0xFDFFFFFF == _ISATAP:
        return "embedded_ipv4"
    return None


class SystemResolver:
    """getaddrinfo on threads of its own: a slow name server occupies these and nothing else."""

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    async def __call__(self, host: str) -> list[str]:
        """The addresses of `host`, in the system's order of preference."""
        found = await asyncio.get_running_loop().run_in_executor(
            # As bytes: a str would be mapped by Python's own IDNA codec first.
            self._threads,
            lambda: socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM),
        )
        return [str(sockaddr[0]) for *_, sockaddr in found]

    def close(self) -> None:
        """Look-ups still queued are dropped; one that runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class NetGuard:
    """The rules for URLs, names and addresses, applied to every hop of a download.

    resolve: looks a name up, once per hop. network: dials an address that passed. on_refusal: is told
    the one-word reason of every SourceForbidden, for a counter; the client never learns it.
    """

    def __init__(
        self,
        *,
        resolve: Resolver,
        network: httpcore.AsyncNetworkBackend | None = None,
        allow_networks: Sequence[Network] = (),
        allow_nat64: bool = False,
        ports: Sequence[int] = (80, 443),
        deny_hosts: Sequence[str] = (),
        on_refusal: Callable[[str], None] | None = None,
    ) -> None:
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()
        self._allow_networks = allow_networks
        self._allow_nat64 = allow_nat64
        self._ports = frozenset(ports)
        self._deny_hosts = frozenset(_plain(host) for host in deny_hosts)
        self._on_refusal = on_refusal

    def check_url(self, text: str, what: str = "The image's URL") -> httpx.URL:
        """The caller's URL, parsed once and for all. what: how the caller knows it.

        Raises InvalidUrl for what its text alone shows, SourceForbidden for a host of our own.
        """
        try:
            url = _parse(text)
        except ValueError as exc:
            raise InvalidUrl(what, str(exc)) from None
        if port_of(url) not in self._ports:
            raise InvalidUrl(what, "this port is not allowed")
        return self._not_ours(url)

    def check_redirect(self, base: httpx.URL, location: str) -> httpx.URL:
        """Where an origin sends us next. Raises SourceForbidden whatever rule it breaks."""
        try:
            # The reference is parsed as it stands too: joining must not hide what its text shows.
            _refuse_authority(location)
            url = _parse(str(base.join(location)))
        except (ValueError, httpx.InvalidURL):
            raise self._forbidden("redirect", "a redirect to an address that is not allowed") from None
        if base.scheme == "https" and url.scheme != "https":
            raise self._forbidden("downgrade", "a redirect from https to http")
        if port_of(url) not in self._ports:
            raise self._forbidden("port", f"a redirect to port {port_of(url)}")
        return self._not_ours(url)

    async def dial(self, host: str, port: int, *, timeout: float | None) -> httpcore.AsyncNetworkStream:  # noqa: ASYNC109
        """Connects to `host` at an address that was judged. timeout: seconds for each address tried.

        Raises SourceForbidden, SourceUnreachable (no such name), httpcore's ConnectError, ConnectTimeout.
        """
        failure: Exception | None = None
        for address in (await self._judged(host))[:_MAX_DIALLED]:
            try:
                return await self._network.connect_tcp(address, port, timeout=timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure or SourceUnreachable(f"{host} has no address")

    async def _judged(self, host: str) -> list[str]:
        """Every address of `host`, all of them allowed: one that is not condemns the whole name."""
        try:
            answers = [str(ip_address(host))]
        except ValueError:
            try:
                answers = list(await self._resolve(host))
            except (OSError, UnicodeError) as exc:
                raise SourceUnreachable(f"{host} was not resolved: {exc}") from exc
        for answer in answers:
            reason = refusal(ip_address(answer), allow=self._allow_networks, allow_nat64=self._allow_nat64)
            if reason:
                raise self._forbidden(reason, f"{host} is {answer}")
        return answers

    def _not_ours(self, url: httpx.URL) -> httpx.URL:
        if _plain(host_of(url)) in self._deny_hosts:
            raise self._forbidden("own_host", "a host of our own")
        return url

    def _forbidden(self, reason: str, detail: str) -> SourceForbidden:
        if self._on_refusal:
            self._on_refusal(reason)
        return SourceForbidden(f"{reason}: {detail}")


def host_of(url: httpx.URL) -> str:
    """The host as it is dialled and sent: ASCII, lower case, an IPv6 literal without brackets."""
    return url.raw_host.decode("ascii")


def port_of(url: httpx.URL) -> int:
    """The port that is dialled."""
    return url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]


def _plain(host: str) -> str:
    return host.lower().removesuffix(".")


def _refuse_authority(text: str) -> None:
    """Raises ValueError for what only the URL's own text shows, before a parser has normalised it."""
    authority = text.partition("//")[2]
    authority = re.split(r"[/?#]", authority, maxsplit=1)[0]
    if not authority.isascii():
        raise ValueError("write the host in ASCII (punycode)")
    if "@" in authority:
        raise ValueError("it must not carry credentials")


def _parse(text: str) -> httpx.URL:
    """The one parser, for the check and for the use. Raises ValueError with a reason for the caller."""
    if len(text) > _MAX_URL:
        raise ValueError(f"it is longer than {_MAX_URL} characters")
    _refuse_authority(text)
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError("it cannot be read") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("only http and https are fetched")
    host = host_of(url)
    literal = ":" in host and "%" not in host  # httpx has parsed it; a zone means a network of our own
    if not literal and not _HOST_NAME.fullmatch(host):
        raise ValueError("its host is missing or is not a name")
    return url
