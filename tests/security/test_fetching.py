"""Attacks on, and by means of, the fetcher: one test, or one named row, for each."""

import asyncio
import gzip
import logging
import time
import tracemalloc
from collections.abc import Sequence

import httpcore
import pytest

from api.errors import (
    InvalidOptions,
    SourceError,
    SourceForbidden,
    SourceTimeout,
    SourceTooLarge,
    SourceTruncated,
    SourceUnreachable,
)
from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from tests.origin import PUBLIC, FakeDNS, LoopbackNetwork, ScriptedOrigin, Step, forever, redirect, reply

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


class TestAddresses:
    @pytest.mark.parametrize(
        ("answers", "reason"),
        [
            pytest.param(["127.0.0.1"], "loopback", id="loopback"),
            pytest.param(["10.1.2.3"], "private", id="private"),
            pytest.param(["169.254.169.254"], "link_local", id="metadata_aws"),
            pytest.param(["100.100.100.200"], "carrier_nat", id="metadata_alibaba"),
            pytest.param(["192.0.0.192"], "reserved", id="metadata_oracle"),
            pytest.param(["168.63.129.16"], "metadata", id="metadata_azure"),
            pytest.param(["fd00:ec2::254"], "private", id="metadata_ipv6"),
            pytest.param(["224.0.0.1"], "multicast", id="multicast"),
            pytest.param(["2002:7f00:1::"], "embedded_ipv4", id="6to4"),
            pytest.param(["::ffff:169.254.169.254"], "embedded_ipv4", id="mapped"),
            pytest.param(["fe80::1%eth0"], "zone", id="zone_id"),
            pytest.param([PUBLIC, "127.0.0.1"], "loopback", id="mixed_public_first"),
            pytest.param(["10.0.0.1", PUBLIC], "private", id="mixed_private_first"),
            pytest.param([PUBLIC, "2606:4700::1111", "::1"], "loopback", id="mixed_families"),
        ],
    )
    async def test_refused_before_a_connection_with_a_metric_for_the_reason(
        self, answers: list[str], reason: str
    ) -> None:
        async with ScriptedOrigin({"/": reply(BODY)}) as origin:
            attack = Attack(origin, names={"evil.example": [answers]})
            with pytest.raises(SourceForbidden) as caught:
                await attack.fetch("http://evil.example/")
            assert attack.network.dialled == []
            assert origin.connections == 0
            assert attack.reasons == [reason]
            assert reason not in caught.value.public
            assert caught.value.public == SourceError.title

    async def test_dns_rebinding_finds_one_look_up_whose_answer_is_dialled(self) -> None:
        async with ScriptedOrigin({"/": reply(BODY)}) as origin:
            attack = Attack(origin, names={"evil.example": [[PUBLIC], ["127.0.0.1"]]})
            assert await attack.fetch("http://evil.example/") == BODY
            assert attack.dns.lookups == ["evil.example"]
            assert attack.network.dialled == [(PUBLIC, 80)]
            # The second answer is judged afresh: nothing of the first look-up is remembered.
            with pytest.raises(SourceForbidden):
                await attack.fetch("http://evil.example/")
            assert origin.connections == 1

    async def test_a_rebound_name_never_reaches_a_server_on_the_loopback(self) -> None:
        async with ScriptedOrigin({"/": reply(BODY)}) as origin:
            dns = FakeDNS({"evil.example": [["127.0.0.1"]]})
            fetcher = HttpFetcher(FetchConfig(ports=(origin.port,)), resolve=dns)  # dials for real
            with pytest.raises(SourceForbidden):
                await fetcher.fetch(f"http://evil.example:{origin.port}/", deadline=Deadline.after(5))
            assert origin.connections == 0
            assert dns.lookups == ["evil.example"]

    async def test_connecting_to_ourselves(self) -> None:
        async with ScriptedOrigin() as origin:
            attack = Attack(origin, deny_hosts=("cut.example",), names={"cut.example": [[PUBLIC]]})
            with pytest.raises(SourceForbidden):
                await attack.fetch("https://cut.example/v1/cutouts")
            assert attack.dns.lookups == []

    @pytest.mark.parametrize("path", ["/", "/to-another-name"])
    async def test_no_connection_is_kept_alive_past_its_check(self, path: str) -> None:
        async with ScriptedOrigin(
            {
                "/": reply(BODY, headers={"Connection": "keep-alive"}),
                "/to-another-name": redirect("http://two.example/"),
            }
        ) as origin:
            attack = Attack(origin)
            await attack.fetch(f"http://img.example{path}")
            await attack.fetch("http://two.example/")
            assert len(attack.dns.lookups) == len(attack.network.dialled) == origin.connections

    async def test_proxy_variables_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with ScriptedOrigin({"/": reply(BODY)}) as origin, ScriptedOrigin() as trap:
            for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, trap.url())
            monkeypatch.delenv("NO_PROXY", raising=False)
            assert await Attack(origin).fetch() == BODY
            assert trap.connections == 0


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_each_kind_is_followed_with_a_get(self, status: int) -> None:
        async with ScriptedOrigin({"/": redirect("/b", status), "/b": reply(BODY)}) as origin:
            attack = Attack(origin)
            assert await attack.fetch() == BODY
            assert origin.requests[1].startswith("GET /b ")
            assert attack.dns.lookups == ["img.example"] * 2

    @pytest.mark.parametrize(
        "location",
        [
            pytest.param("http://evil.example/", id="to_a_private_name"),
            pytest.param("http://127.0.0.1/", id="to_loopback"),
            pytest.param("http://[::ffff:7f00:1]/", id="to_mapped_loopback"),
            pytest.param("http://169.254.169.254/latest/meta-data/", id="to_metadata"),
            pytest.param("//10.0.0.1/", id="scheme_relative_to_private"),
            pytest.param("file:///etc/passwd", id="to_a_file"),
            pytest.param("gopher://img.example/", id="to_gopher"),
            pytest.param("http://u:p@img.example/", id="with_credentials"),
            pytest.param("http://img.example:22/", id="to_another_port"),
            pytest.param("http://[", id="unreadable"),
        ],
    )
    async def test_every_hop_passes_the_same_guard(self, location: str) -> None:
        async with ScriptedOrigin({"/": redirect(location)}) as origin:
            attack = Attack(origin, names={"evil.example": [["192.168.0.1"]]})
            with pytest.raises(SourceForbidden) as caught:
                await attack.fetch()
            assert origin.connections == 1
            assert caught.value.public == SourceError.title
            assert len(attack.reasons) == 1

    async def test_a_loop_ends_after_three(self) -> None:
        async with ScriptedOrigin({"/": redirect("/")}) as origin:
            with pytest.raises(SourceUnreachable):
                await Attack(origin).fetch()
            assert origin.connections == 4

    @pytest.mark.parametrize(
        ("hops", "arrives"), [pytest.param(3, True, id="3"), pytest.param(4, False, id="4")]
    )
    async def test_a_chain(self, hops: int, arrives: bool) -> None:
        paths: dict[str, Sequence[Step] | bytes] = {f"/{n}": redirect(f"{n - 1}") for n in range(1, hops + 1)}
        async with ScriptedOrigin(paths | {"/0": reply(BODY)}) as origin:
            if arrives:
                assert await Attack(origin).fetch(f"http://img.example/{hops}") == BODY
            else:
                with pytest.raises(SourceUnreachable):
                    await Attack(origin).fetch(f"http://img.example/{hops}")

    async def test_http_may_lead_to_https(self) -> None:
        async with ScriptedOrigin({"/": redirect("https://img.example/")}) as origin:
            attack = Attack(origin, connect_timeout=0.2)
            with pytest.raises(SourceTimeout):  # the origin speaks no TLS, but it was asked to
                await attack.fetch()
            assert attack.network.dialled == [(PUBLIC, 80), (PUBLIC, 443)]

    @pytest.mark.parametrize("status", [300, 302, 304])
    async def test_without_a_location_it_is_no_image(self, status: int) -> None:
        async with ScriptedOrigin({"/": reply(BODY, status=f"{status} X")}) as origin:
            with pytest.raises(SourceUnreachable):
                await Attack(origin).fetch()


class DeafNetwork(LoopbackNetwork):
    """Nobody answers the SYN."""

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: object):  # type: ignore[no-untyped-def]  # noqa: ASYNC109
        await asyncio.sleep(30)


class TestSlowness:
    @pytest.mark.parametrize(
        ("url", "script"),
        [
            pytest.param("https://img.example/", [30.0], id="tls"),
            pytest.param("http://img.example/", [30.0], id="headers"),
            pytest.param(
                "http://img.example/", [b"HTTP/1.1 200 OK\r\n", forever(b"X: y\r\n", 0.02)], id="drip_headers"
            ),
            pytest.param("http://img.example/", [reply(length=10_000), forever(b"x", 0.02)], id="drip_body"),
            pytest.param("http://img.example/", [CHUNKED, forever(b"1\r\nx\r\n", 0.02)], id="drip_chunks"),
            pytest.param("http://img.example/", [0.2, redirect("/")], id="slow_redirects"),
        ],
    )
    async def test_one_deadline_for_everything(self, url: str, script: list[Step]) -> None:
        async with ScriptedOrigin({"/": script}) as origin:
            began = time.monotonic()
            with pytest.raises(SourceTimeout):
                await Attack(origin, timeout=0.4).fetch(url)
            assert time.monotonic() - began < 5

    async def test_slow_dns_is_off_the_event_loop_and_on_the_clock(self) -> None:
        fetcher = HttpFetcher(
            FetchConfig(timeout=0.2), tls=TLS, resolve=FakeDNS({"img.example": [[PUBLIC]]}, delay=30)
        )
        with pytest.raises(SourceTimeout):
            await fetcher.fetch("http://img.example/", deadline=Deadline.after(5))

    async def test_slow_connect(self) -> None:
        dns = FakeDNS({"img.example": [[PUBLIC]]})
        fetcher = HttpFetcher(FetchConfig(timeout=0.2), tls=TLS, resolve=dns, network=DeafNetwork(1))
        with pytest.raises(SourceTimeout):
            await fetcher.fetch("http://img.example/", deadline=Deadline.after(5))

    @pytest.mark.parametrize(
        ("script", "completes"),
        [
            pytest.param([reply(length=100_000), forever(b"x" * 100, 0.02)], False, id="below_the_rate"),
            pytest.param([reply(length=100_000), b"x" * 100, 30.0], False, id="silent"),
            pytest.param([reply(length=100_000), *[b"x" * 20_000, 0.1] * 5], True, id="above_the_rate"),
        ],
    )
    async def test_a_body_that_stalls_is_cut_before_the_deadline(
        self, script: list[Step], completes: bool
    ) -> None:
        async with ScriptedOrigin({"/": script}) as origin:
            attack = Attack(origin, timeout=20, stall_grace=0.5, min_rate=20_000)
            began = time.monotonic()
            if completes:
                assert len(await attack.fetch()) == 100_000
            else:
                with pytest.raises(SourceTimeout):
                    await attack.fetch()
                assert time.monotonic() - began < 8


class TestBodies:
    async def test_a_body_in_ten_pieces_arrives_whole(self) -> None:
        pieces: list[Step] = [reply(length=300_000)]
        for n in range(10):
            pieces += [bytes([n]) * 30_000, 0.01]
        async with ScriptedOrigin({"/": pieces}) as origin:
            assert await Attack(origin).fetch() == b"".join(bytes([n]) * 30_000 for n in range(10))

    @pytest.mark.parametrize(
        ("script", "error"),
        [
            pytest.param(
                [reply(length=1_001), forever(b"x" * 1_000)], SourceTooLarge, id="declared_too_large"
            ),
            pytest.param([reply(b"x" * 5_000, length=None)], SourceTooLarge, id="undeclared_too_large"),
            pytest.param(
                [CHUNKED, forever(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")], SourceTooLarge, id="infinite_chunks"
            ),
            pytest.param([reply(b"x" * 500, length=900)], SourceTruncated, id="shorter_than_declared"),
            pytest.param(
                [CHUNKED + b"1f4\r\n" + b"x" * 500 + b"\r\n"], SourceTruncated, id="chunks_without_end"
            ),
            pytest.param([CHUNKED + b"fff\r\n" + b"x" * 500], SourceTruncated, id="half_a_chunk"),
            pytest.param([CHUNKED + b"zz\r\n"], SourceTruncated, id="not_a_chunk"),
            pytest.param(
                [reply(length=None, headers={"Content-Length": "-5"})], SourceUnreachable, id="negative"
            ),
            pytest.param(
                [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx"],
                SourceUnreachable,
                id="two_lengths",
            ),
            pytest.param([reply(length=10**18)], SourceTooLarge, id="astronomic"),
        ],
    )
    async def test_sizes_that_lie(self, script: list[Step], error: type[SourceError]) -> None:
        async with ScriptedOrigin({"/": script}) as origin:
            with pytest.raises(error):
                await Attack(origin, max_bytes=1_000).fetch()

    async def test_more_than_declared_is_not_read(self) -> None:
        async with ScriptedOrigin({"/": [reply(BODY), b"<script>"]}) as origin:
            assert await Attack(origin).fetch() == BODY

    @pytest.mark.parametrize(
        "coding", ["gzip", "br", "zstd", "deflate", "gzip, gzip", "x-unknown", "identity, gzip"]
    )
    async def test_encoded_answers_are_refused(self, coding: str) -> None:
        body = gzip.compress(gzip.compress(BODY))
        async with ScriptedOrigin({"/": reply(body, headers={"Content-Encoding": coding})}) as origin:
            with pytest.raises(SourceUnreachable):
                await Attack(origin).fetch()
            assert "Accept-Encoding: identity\r\n" in origin.requests[0]

    @pytest.mark.parametrize("coding", ["gzip", "gzip, chunked"])
    async def test_transfer_codings_are_refused(self, coding: str) -> None:
        script = reply(gzip.compress(BODY), length=None, headers={"Transfer-Encoding": coding})
        async with ScriptedOrigin({"/": script}) as origin:
            with pytest.raises(SourceUnreachable):
                await Attack(origin).fetch()

    async def test_a_gzip_bomb_costs_no_memory(self) -> None:
        bomb = gzip.compress(bytes(60_000_000), 9)
        assert len(bomb) < 60_000
        async with ScriptedOrigin({"/": reply(bomb, headers={"Content-Encoding": "gzip"})}) as origin:
            tracemalloc.start()
            try:
                with pytest.raises(SourceUnreachable):
                    await Attack(origin).fetch()
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert peak < 10_000_000

    @pytest.mark.parametrize(
        "status",
        [
            "101 Switching",
            "201 Created",
            "204 No Content",
            "206 Partial",
            "304 Not Modified",
            "401 X",
            "404 X",
            "503 X",
        ],
    )
    async def test_only_200_counts(self, status: str) -> None:
        script = reply(b"" if status[:3] in ("101", "204", "304") else BODY, status=status, length=None)
        async with ScriptedOrigin({"/": script}) as origin:
            with pytest.raises(SourceUnreachable):
                await Attack(origin).fetch()

    @pytest.mark.parametrize("kind", ["text/html", "image/png", "application/octet-stream", "nonsense"])
    async def test_the_content_type_decides_nothing(self, kind: str) -> None:
        async with ScriptedOrigin({"/": reply(BODY, headers={"Content-Type": kind})}) as origin:
            assert await Attack(origin).fetch() == BODY

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param([b"HTTP/1.1 200 OK\r\n", forever(b"X: y\r\n" * 1_000)], id="header_flood"),
            pytest.param([b"HTTP/1.1 200 OK\r\nX: ", forever(b"y" * 10_000)], id="endless_header"),
            pytest.param([forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)], id="1xx_flood"),
            pytest.param([CHUNKED, forever(b"1\r\nx\r\n" * 1_000)], id="tiny_chunks_flood"),
            pytest.param([CHUNKED + b"1", forever(b";a=b" * 1_000)], id="chunk_extension_flood"),
            pytest.param([CHUNKED + b"0\r\n", forever(b"X: y\r\n" * 1_000)], id="trailer_flood"),
            pytest.param([forever(b"\r\n" * 1_000)], id="blank_line_flood"),
            pytest.param([forever(b"\x00" * 1_000)], id="not_http"),
        ],
    )
    async def test_floods_end_by_their_size(self, script: list[Step]) -> None:
        async with ScriptedOrigin({"/": script}) as origin:
            began, cpu = time.monotonic(), time.process_time()
            with pytest.raises((SourceUnreachable, SourceTruncated)):
                await Attack(origin, timeout=20).fetch()
            assert time.monotonic() - began < 10
            assert time.process_time() - cpu < 4

    async def test_a_flood_of_tiny_chunks_does_not_hold_up_the_others(self) -> None:
        async with ScriptedOrigin({"/": [CHUNKED, forever(b"1\r\nx\r\n" * 1_000)]}) as origin:
            flooded = asyncio.create_task(Attack(origin).fetch())
            longest, before = 0.0, time.thread_time()
            while not flooded.done():
                await asyncio.sleep(0)
                longest, before = max(longest, time.thread_time() - before), time.thread_time()
            await asyncio.gather(flooded, return_exceptions=True)
            assert longest < 0.1

    async def test_a_reset_in_the_body_is_a_truncation(self) -> None:
        async def reset(writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with ScriptedOrigin({"/": [reply(b"x" * 500, length=900), 0.05, reset]}) as origin:
            with pytest.raises(SourceTruncated):
                await Attack(origin).fetch()


class TestWhatWeGiveAway:
    async def test_refused_unreachable_and_timeout_read_the_same(self) -> None:
        texts = set()
        async with ScriptedOrigin({"/slow": [30.0], "/500": reply(status="500 X")}) as origin:
            attack = Attack(origin, timeout=0.2, names={"evil.example": [["10.0.0.1"]]})
            for url in (
                "http://evil.example/",
                "http://169.254.169.254/",
                "http://no-such-name.example/",
                "http://img.example/slow",
                "http://img.example/500",
                "http://img.example/404",
                "https://img.example/",
            ):
                with pytest.raises(SourceError) as caught:
                    await attack.fetch(url)
                texts.add(caught.value.public)
        nobody = HttpFetcher(resolve=FakeDNS({"img.example": [[PUBLIC]]}), network=LoopbackNetwork(1))
        with pytest.raises(SourceUnreachable) as closed_port:
            await nobody.fetch("http://img.example/", deadline=Deadline.after(5))
        assert texts | {closed_port.value.public} == {SourceError.title}

    async def test_addresses_that_the_guard_refuses_cannot_be_told_apart(self) -> None:
        answers = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1", "224.0.0.1", "2002:7f00:1::"]
        async with ScriptedOrigin({"/": redirect("http://10.9.8.7/")}) as origin:
            attack = Attack(
                origin, deny_hosts=("own.example",), names={f"h{n}.x": [[a]] for n, a in enumerate(answers)}
            )
            bodies = set()
            for url in (
                *(f"http://h{n}.x/" for n in range(len(answers))),
                "http://own.example/",
                "http://img.example/",
            ):
                with pytest.raises(SourceForbidden) as caught:
                    await attack.fetch(url)
                bodies.add((caught.value.status, caught.value.code, caught.value.public))
            assert len(bodies) == 1

    async def test_the_query_and_the_credentials_are_in_no_log(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        async with ScriptedOrigin({"/ok": reply(BODY)}) as origin:
            attack = Attack(origin)
            await attack.fetch("http://img.example/ok?token=hunter2")
            for url, error in (
                ("http://img.example/gone?token=hunter2", SourceUnreachable),
                ("http://me:hunter2@img.example/", InvalidOptions),
            ):
                with pytest.raises(error) as caught:
                    await attack.fetch(url)
                assert "hunter2" not in str(caught.value)
                assert "hunter2" not in caught.value.public
        assert "hunter2" not in caplog.text

    async def test_our_requests_carry_a_name_and_nothing_else(self) -> None:
        cookie = {"Set-Cookie": "a=b", "Location": "/b"}
        async with ScriptedOrigin({"/": reply(status="302 X", headers=cookie), "/b": reply(BODY)}) as origin:
            await Attack(origin).fetch()
            for head in origin.requests:
                names = {line.partition(":")[0].lower() for line in head.split("\r\n")[1:] if line}
                assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
                assert "User-Agent: objectcut" in head

    async def test_no_task_survives_a_fetch(self) -> None:
        scripts: dict[str, list[Step]] = {
            "/drip": [reply(length=10_000), forever(b"x", 0.02)],
            "/large": [CHUNKED, forever(b"3e8\r\n" + b"x" * 1_000 + b"\r\n")],
            "/short": [reply(b"x", length=9)],
        }
        async with ScriptedOrigin(scripts) as origin:
            attack = Attack(origin, timeout=0.2, max_bytes=5_000)
            for path in scripts:
                with pytest.raises(SourceError):
                    await attack.fetch(f"http://img.example{path}")
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def test_a_cancelled_fetch_leaves_its_place_to_others(self) -> None:
        async with ScriptedOrigin({"/slow": [30.0], "/": reply(BODY)}) as origin:
            attack = Attack(origin, per_host=1)
            waiting = asyncio.create_task(attack.fetch("http://img.example/slow"))
            await asyncio.sleep(0.1)
            assert origin.requests
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert await attack.fetch() == BODY
