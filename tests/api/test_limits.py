"""Admission: its order, its limits, and that nothing is held for those who are gone."""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.errors import Overloaded
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, photo
from tests.service import KEY, Served, serving

PHOTO = photo()
FILE = {"image": ("a.jpg", PHOTO)}
LOCKED = {"anonymous": False, "secret_access": KEY}


class TestAdmissionOrder:
    """Cheapest first: each row breaks one rule and every later one, and the first is what counts."""

    @pytest.mark.parametrize(
        ("breaks", "status", "body_read"),
        [
            pytest.param("route", 404, False, id="1 route"),
            pytest.param("method", 405, False, id="2 method"),
            pytest.param("key", 401, False, id="3 key"),
            pytest.param("in flight", 429, False, id="4 in flight"),
            pytest.param("length", 413, False, id="5 announced length"),
            pytest.param("body", 413, True, id="6 body"),
            pytest.param("options", 400, True, id="7 options"),
            pytest.param("decode", 415, True, id="8 decode limits"),
            pytest.param("queue", 429, True, id="9 queue"),
        ],
    )
    async def test_order(self, breaks: str, status: int, body_read: bool) -> None:
        rules = ["route", "method", "key", "in flight", "length", "body", "options", "decode", "queue"]
        broken = set(rules[rules.index(breaks) :])
        read = 0

        async def body() -> AsyncIterator[bytes]:
            nonlocal read
            data = b"no image" if "decode" in broken else PHOTO
            for piece in (data, b"x" * 50_000 if "body" in broken else b""):
                read += 1
                yield piece

        engine = FakeEngine(fails=Overloaded() if "queue" in broken else None)
        fetcher = FakeFetcher()
        settings = LOCKED | {"limits": {"body_bytes": 20_000, "in_flight": 1}}
        async with serving(settings, engine=engine, fetcher=fetcher) as served:
            headers = {"X-Api-Key": "" if "key" in broken else KEY}
            if "length" in broken:
                headers["Content-Length"] = "50000000"
            holding = self.hold(served) if "in flight" in broken else None
            if holding:
                await holding.__anext__()
            answer = await served.http.request(
                "PUT" if "method" in broken else "POST",
                "/v2/cutouts" if "route" in broken else "/v1/cutouts",
                params={"quality": "0"} if "options" in broken else {},
                headers=headers,
                content=body(),
            )
            if holding:
                await holding.aclose()
            assert (answer.status_code, read > 0) == (status, body_read), answer.text
            assert len(engine.seen) == (breaks == "queue")

    async def hold(self, served: Served) -> AsyncGenerator[None, None]:
        """One request that takes the only place until it is closed."""
        arrived, go = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            arrived.set()
            await go.wait()
            yield b""

        task = asyncio.create_task(
            served.http.post("/v1/cutouts", content=slow(), headers={"X-Api-Key": KEY})
        )
        await arrived.wait()
        try:
            yield
        finally:
            go.set()
            await task


async def test_one_too_many_is_turned_away_at_once() -> None:
    engine = FakeEngine(holds=asyncio.Event())
    async with serving({"limits": {"in_flight": 2}}, engine=engine) as served:
        first = [asyncio.create_task(served.http.post("/v1/cutouts", files=FILE)) for _ in range(2)]
        while engine.waiting < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        assert served.metric("in_flight") == 2
        answer = await served.http.post("/v1/cutouts", files=FILE)
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert (await served.http.get("/healthz")).status_code == 200
        assert engine.holds
        engine.holds.set()
        assert [(await task).status_code for task in first] == [201, 201]
        assert served.metric("shed_total", code="overloaded") == 1
        served.assert_at_rest()


async def test_who_waits_too_long_for_a_turn_is_turned_away() -> None:
    engine = FakeEngine(holds=asyncio.Event())
    async with serving({"pictures": 1, "limits": {"queue_timeout": 0.05}}, engine=engine) as served:
        first = asyncio.create_task(served.http.post("/v1/cutouts", files=FILE))
        while not engine.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        answer = await served.http.post("/v1/cutouts", files=FILE)
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert engine.holds
        engine.holds.set()
        assert (await first).status_code == 201
        served.assert_at_rest()


def announced(size: int) -> dict[str, Any]:
    return {"content": b"x" * size, "headers": {"Content-Type": "image/png"}}


def chunked(size: int) -> dict[str, Any]:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // 1000):
            yield b"x" * 1000

    return {"content": pieces(), "headers": {"Content-Type": "image/png"}}


def form(size: int) -> dict[str, Any]:
    return {"files": {"image": ("a.png", b"x" * size)}}


@pytest.mark.parametrize("send", [announced, chunked, form])
async def test_too_large_a_body_has_one_shape(send: Any) -> None:
    async with serving({"limits": {"body_bytes": 10_000}}) as served:
        answer = await served.http.post("/v1/cutouts", **send(20_000))
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await served.http.post("/v1/cutouts", **send(5_000))).status_code == 415
        served.assert_at_rest()


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 30])
async def test_a_lying_length(length: str) -> None:
    async with serving() as served:
        answer = await served.http.post("/v1/cutouts", content=PHOTO, headers={"Content-Length": length})
        assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        pytest.param([("f", (None, "x"))] * 31, 413, id="31 fields"),
        pytest.param([("image", ("a", b"x"))] * 3, 413, id="3 files"),
        pytest.param([("image", ("a", b"x"))] * 2, 400, id="the same file twice"),
        pytest.param([("f", (None, "x"))] * 30, 400, id="30 fields: judged by their names"),
    ],
)
async def test_floods_of_parts(parts: list[Any], status: int) -> None:
    async with serving() as served:
        assert (await served.http.post("/v1/cutouts", files=parts)).status_code == status


async def test_a_flood_of_urlencoded_fields() -> None:
    async with serving() as served:
        data = {f"f{number}": "x" for number in range(31)}
        assert (await served.http.post("/v1/cutouts", data=data)).status_code == 413


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0"])
async def test_floods_of_json_values(value: bytes) -> None:
    body = b'{"image_url": [' + b",".join([value] * 50_001) + b"]}"
    async with serving() as served:
        headers = {"Content-Type": "application/json"}
        answer = await served.http.post("/v1/cutouts", content=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every temporary file would be."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def test_uploads_never_touch_the_disk(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "_TemporaryFile", refuse, raising=False)
    async with serving() as served:
        before = os.listdir(temporary)
        large = PHOTO + b"\0" * 5_000_000
        answer = await served.http.post("/v1/cutouts", files={"image": ("a.jpg", large)})
        assert answer.status_code == 201, answer.text
        assert os.listdir(temporary) == before


async def test_a_body_that_dribbles_is_given_up() -> None:
    async def dribble() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async with serving({"limits": {"body_timeout": 0.15}}) as served:
        answer = await served.http.post("/v1/cutouts", content=dribble())
        assert (answer.status_code, answer.json()["code"]) == (408, "upload_timeout")
        served.assert_at_rest()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("a-Request-1", True, id="ours to keep"),
        pytest.param("x" * 64, True, id="64 characters"),
        pytest.param("x" * 65, False, id="65 characters"),
        pytest.param("", False, id="empty"),
        pytest.param('a"b', False, id="a quote"),
        pytest.param("a b", False, id="a space"),
        pytest.param("a_b", False, id="an underscore"),
        pytest.param("a\x1b[31m", False, id="an escape"),
        pytest.param(b"\xe9", False, id="not ASCII"),
    ],
)
async def test_request_ids(given: Any, kept: bool) -> None:
    async with serving() as served:
        answer = await served.http.get("/healthz", headers={"X-Request-Id": given})
        assert (answer.headers["x-request-id"] == given) is kept
        assert len(answer.headers["x-request-id"]) >= 11


async def test_one_line_a_request_and_no_secret_in_any(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = "https://user:hunter2@img.example/a.jpg?token=hunter3"
    async with serving(LOCKED, fetcher=FakeFetcher({source: PHOTO})) as served:
        served.http.headers["X-Api-Key"] = KEY
        made = await served.http.post("/v1/cutouts", json={"image_url": source})
        await served.http.get(made.json()["url"])
        await served.http.post("/v1/cutouts", headers={"X-Api-Key": "hunter4"})
    lines = [record.__dict__["fields"] for record in caplog.records if record.name == "objectcut.requests"]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/v1/cutouts", 201),
        ("/v1/cutouts/{id}", 200),
        ("/v1/cutouts", 401),
    ]
    assert lines[0]["source"] == "https://img.example/a.jpg"
    assert lines[0]["model"] == "lite"
    assert lines[0]["timings_ms"]["decode"] > 0
    everything = "".join(f"{record.__dict__}" for record in caplog.records if record.name != "httpx")
    for secret in (KEY, "hunter", "signature"):
        assert secret not in everything


class TestClientsThatLeave:
    """Over plain ASGI: the client's side is the two callables."""

    async def leave(self, served: Served, body: bytes, until: asyncio.Event, *, whole: bool) -> list[Any]:
        """Sends a request, waits for `until`, and goes. What was answered."""
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": body, "more_body": not whole}]

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            await until.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v1/cutouts",
            "raw_path": b"/v1/cutouts",
            "query_string": b"",
            "headers": [(b"content-type", b"image/jpeg")],
            "server": ("test", 80),
            "client": ("127.0.0.1", 1),
        }
        await served.app(scope, receive, send)
        return sent

    async def test_while_uploading(self) -> None:
        engine, gone = FakeEngine(), asyncio.Event()
        gone.set()
        async with serving(engine=engine) as served:
            assert await self.leave(served, PHOTO[:100], gone, whole=False) == []
            assert engine.seen == []
            assert served.metric("errors_total", code="client_gone") == 1
            served.assert_at_rest()

    async def test_while_waiting_for_the_device(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "objectcut.requests")
        engine, gone = FakeEngine(holds=asyncio.Event()), asyncio.Event()
        async with serving(engine=engine) as served:
            clients = [asyncio.create_task(self.leave(served, PHOTO, gone, whole=True)) for _ in range(20)]
            while engine.waiting < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert served.metric("in_flight") == 20
            gone.set()
            assert await asyncio.gather(*clients) == [[]] * 20
            assert engine.cancelled == 4
            assert engine.seen == []
            served.assert_at_rest()
            assert served.metric("errors_total", code="client_gone") == 20
            assert [line.__dict__["fields"]["status"] for line in caplog.records] == [499] * 20
            assert len(asyncio.all_tasks()) <= 3  # this test's own, the store's sweeper, and the jobs'
            engine.holds = None
            assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201

    async def test_while_the_picture_is_decoded(self) -> None:
        class SlowDecoder(InlineDecoder):
            async def decode(self, data: bytes, *, deadline: Any) -> Any:
                gone.set()
                await asyncio.sleep(60)

        engine, gone = FakeEngine(), asyncio.Event()
        async with serving(engine=engine, decoder=SlowDecoder()) as served:
            assert await self.leave(served, PHOTO, gone, whole=True) == []
            assert engine.seen == []
            served.assert_at_rest()

    async def test_who_does_not_read_is_left(self) -> None:
        async with serving({"limits": {"send_timeout": 0.05}}) as served:

            async def receive() -> Any:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: Any) -> None:
                await asyncio.sleep(60)

            scope: dict[str, Any] = {
                "type": "http",
                "method": "GET",
                "path": "/healthz",
                "query_string": b"",
                "headers": [],
            }
            await asyncio.wait_for(served.app(scope, receive, send), 5)
            served.assert_at_rest()


async def test_cors_is_off_unless_configured() -> None:
    asking = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    async with serving() as served:
        answer: httpx.Response = await served.http.get("/healthz", headers=asking)
        assert "access-control-allow-origin" not in answer.headers
    async with serving({"cors_origins": ["https://shop.example"]}) as served:
        for headers, allowed in ((asking, "https://shop.example"), (asking | {"Origin": "https://x"}, None)):
            answer = await served.http.options("/v1/cutouts", headers=headers)
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers
