"""A fetcher under attack."""

import httpcore

from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from tests.origin import PUBLIC, FakeDNS, ScriptedOrigin

BODY = b"\x89PNG" + bytes(range(256)) * 100
TLS = httpcore.default_ssl_context()  # costly to make, so made once
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Attack:
    """A fetcher with a public web of one origin, and what it did."""

    def __init__(
        self, origin: ScriptedOrigin, *, names: dict[str, list[list[str]]] | None = None, **settings: object
    ):
        self.origin = origin
        self.dns = FakeDNS({"img.example": [[PUBLIC]], "two.example": [["93.184.216.35"]]} | (names or {}))
        self.network = origin.network()
        self.reasons: list[str] = []
        config = FetchConfig(**settings)
        self.fetcher = HttpFetcher(
            config, resolve=self.dns, network=self.network, on_refusal=self.reasons.append
        )

    async def fetch(self, url: str = "http://img.example/") -> bytes:
        return await self.fetcher.fetch(url, deadline=Deadline.after(20))
