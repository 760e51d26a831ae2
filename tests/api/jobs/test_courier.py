"""Webhooks go out through the guard of downloads, follow nothing and read little."""

import time

import pytest

from api.errors import InvalidOptions, SourceError, SourceForbidden, SourceTimeout, SourceUnreachable
from api.jobs.courier import HttpCourier
from api.source.fetch import FetchConfig
from tests.origin import PUBLIC, FakeDNS, ScriptedOrigin, Step, forever, redirect, reply

URL = "http://hook.example/in?token=1"
NAMES = {
    "hook.example": [[PUBLIC]],
    "inside.example": [["10.0.0.1"]],
    "rebinding.example": [[PUBLIC], ["127.0.0.1"]],
}


def courier(origin: ScriptedOrigin) -> HttpCourier:
    config = FetchConfig(deny_hosts=("cut.example",))
    return HttpCourier(config, resolve=FakeDNS(NAMES), network=origin.network())


async def post(origin: ScriptedOrigin, url: str = URL, seconds: float = 20) -> int:
    return await courier(origin).post(url, {"webhook-id": "msg_1"}, b'{"a": 1}', seconds=seconds)


STATUSES = [
    pytest.param(reply(b"thanks"), 200, id="200"),
    pytest.param(reply(status="204 No Content", length=None), 204, id="204"),
    pytest.param(reply(b"no", status="410 Gone"), 410, id="410"),
    pytest.param(redirect("http://hook.example/elsewhere"), 302, id="a redirect is not followed"),
    pytest.param(reply(b"x", status="200 OK", length=50), 200, id="an answer that is cut short"),
    pytest.param([reply(length=10_000_000), forever(b"x" * 4000)], 200, id="an answer without an end"),
    pytest.param([reply(b"", status="200 OK", length=50), 60.0], 200, id="an answer that stalls"),
]


@pytest.mark.parametrize(("script", "status"), STATUSES)
async def test_the_status_is_what_counts(script: list[Step] | bytes, status: int) -> None:
    async with ScriptedOrigin({"/in": script}) as origin:
        assert await post(origin) == status
        assert len(origin.requests) == 1
        head = origin.requests[0].lower()
        assert head.startswith("post /in?token=1 http/1.1\r\n")
        for line in (
            "host: hook.example",
            "content-type: application/json",
            "content-length: 8",
            "webhook-id: msg_1",
        ):
            assert f"\r\n{line}\r\n" in head


FAILURES = [
    pytest.param("http://inside.example/in", SourceForbidden, id="a private address behind a name"),
    pytest.param("http://127.0.0.1/in", SourceForbidden, id="the loopback"),
    pytest.param("http://169.254.169.254/in", SourceForbidden, id="a metadata service"),
    pytest.param("http://cut.example/v1/jobs", SourceForbidden, id="ourselves"),
    pytest.param("http://nobody.example/in", SourceUnreachable, id="no such name"),
    pytest.param("ftp://hook.example/in", InvalidOptions, id="another scheme"),
    pytest.param("http://hook.example:22/in", InvalidOptions, id="another port"),
    pytest.param("http://a:b@hook.example/in", InvalidOptions, id="credentials"),
]


@pytest.mark.parametrize(("url", "error"), FAILURES)
async def test_what_may_not_be_reached(url: str, error: type[Exception]) -> None:
    async with ScriptedOrigin({"/in": reply()}) as origin:
        with pytest.raises(error):
            await post(origin, url)
        assert origin.connections == 0


async def test_each_delivery_is_judged_anew() -> None:
    async with ScriptedOrigin({"/in": reply()}) as origin:
        sender = courier(origin)
        url = "http://rebinding.example/in"
        assert await sender.post(url, {}, b"{}", seconds=20) == 200
        with pytest.raises(SourceForbidden):
            await sender.post(url, {}, b"{}", seconds=20)
        await sender.close()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([60.0], id="no answer"),
        pytest.param([forever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01)], id="never more than 1xx"),
    ],
)
async def test_slow_receivers_are_left(script: list[Step]) -> None:
    async with ScriptedOrigin({"/in": script}) as origin:
        started = time.monotonic()
        with pytest.raises(SourceTimeout):
            await post(origin, seconds=0.2)
        assert time.monotonic() - started < 5


async def test_what_is_not_http_is_a_failure() -> None:
    async with ScriptedOrigin({"/in": b"hello\r\n\r\n"}) as origin:
        with pytest.raises(SourceError):
            await post(origin)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://hook.example:22/in", "this port is not allowed", id="port"),
        pytest.param("http://cut.example/v1/jobs", "it leads to this service", id="ourselves"),
        pytest.param("gopher://hook.example/", "only http and https are fetched", id="scheme"),
    ],
)
async def test_urls_are_judged_when_they_are_handed_in(url: str, why: str) -> None:
    async with ScriptedOrigin() as origin:
        sender = courier(origin)
        sender.check(URL)
        with pytest.raises(InvalidOptions) as refused:
            sender.check(url)
        assert refused.value.public == f"webhook_url is not valid: {why}."
        assert origin.connections == 0
