"""Origins that send too slowly, too much, or something else than they say."""

import asyncio
import gzip
import time
import tracemalloc

import pytest

from api.errors import SourceError, SourceTimeout, SourceTooLarge, SourceTruncated, SourceUnreachable
from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from tests.origin import PUBLIC, FakeDNS, LoopbackNetwork, ScriptedOrigin, Step, forever, redirect, reply
from tests.security.attack import BODY, CHUNKED, TLS, Attack


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
