"""Attacks by means of the fetcher: where it is sent, and what it gives away."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from api.errors import InvalidOptions, SourceError, SourceForbidden, SourceTimeout, SourceUnreachable
from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from tests.origin import PUBLIC, FakeDNS, LoopbackNetwork, ScriptedOrigin, Step, forever, redirect, reply
from tests.security.attack import BODY, CHUNKED, Attack


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


class TestWhatWeGiveAway:
    async def test_refused_unreachable_and_slow_have_one_text(self) -> None:
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
