"""/v1/jobs as the contract has it, over fakes and a real database."""

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from api.jobs.archive import archive
from api.jobs.views import Job
from api.types import Link
from tests.api.routes.accepted import ended, made, until
from tests.api.routes.sent import FILE, PHOTO, URL, web
from tests.fakes import FakeEngine, ScriptedCourier, memory_store
from tests.service import Served, serving

ZIP = {"Accept": "application/zip"}
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"data_dir": tmp_path}


@pytest.fixture
async def served(settings: dict[str, Any]) -> AsyncIterator[Served]:
    async with serving(settings, fetcher=web(), courier=ScriptedCourier()) as served:
        yield served
        served.assert_at_rest()


WAYS = [
    pytest.param({"files": FILE, "data": {"output": "alpha"}}, None, id="a form"),
    pytest.param({"content": PHOTO, "params": {"output": "alpha"}}, None, id="a raw body"),
    pytest.param({"json": {"image_url": URL, "output": "alpha"}}, URL, id="one URL"),
    pytest.param({"json": {"image_urls": [URL], "output": "alpha"}}, URL, id="a list of one URL"),
]


@pytest.mark.parametrize(("request_", "source"), WAYS)
async def test_one_picture_in_every_way(served: Served, request_: dict[str, Any], source: str | None) -> None:
    answer = await served.http.post("/v1/jobs", **request_)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert list(job) == [
        "id", "status", "url", "created_at", "finished_at", "expires_at", "total",
        "succeeded", "failed", "items",
    ]  # fmt: skip
    assert (job["status"], job["finished_at"], job["total"]) == ("queued", None, 1)
    job = await ended(served.http, job["id"])
    assert (job["status"], job["succeeded"], job["failed"]) == ("succeeded", 1, 0)
    (item,) = job["items"]
    assert (item["index"], item["source"], item["status"], item["error"]) == (0, source, "succeeded", None)
    assert item["cutout"]["format"] == "png"
    direct = await served.http.post(
        "/v1/cutouts", files=FILE, data={"output": "alpha"}, headers={"Accept": "image/*"}
    )
    assert (await served.http.get(item["cutout"]["url"])).content == direct.content


async def test_one_items_failure_is_never_its_neighbours(served: Served) -> None:
    urls = [URL, "https://img.example/nothing.jpg", "ftp://img.example/a.jpg", URL]
    job = await ended(served.http, (await made(served.http, json={"image_urls": urls}))["id"])
    assert (job["status"], job["total"], job["succeeded"], job["failed"]) == ("succeeded", 4, 2, 2)
    assert [item["status"] for item in job["items"]] == ["succeeded", "failed", "failed", "succeeded"]
    failed = job["items"][1]
    assert (failed["cutout"], failed["error"]["code"], failed["error"]["status"]) == (
        None,
        "source_unreachable",
        422,
    )
    assert list(failed["error"]) == ["type", "title", "status", "code", "detail", "request_id", "errors"]
    assert (
        len({item["cutout"]["id"] for item in job["items"] if item["cutout"]}) == 2
    )  # each has its own result


REFUSED = [
    pytest.param({"json": {}}, 400, "invalid_options", id="no picture"),
    pytest.param({"json": {"image_urls": []}}, 400, "invalid_options", id="no URL"),
    pytest.param({"json": {"image_urls": [URL] * 101}}, 400, "invalid_options", id="too many URLs"),
    pytest.param({"json": {"image_urls": ["x" * 8193]}}, 400, "invalid_options", id="a long URL"),
    pytest.param({"json": {"image_urls": [URL, 5]}}, 400, "invalid_options", id="no text"),
    pytest.param({"json": {"image_urls": [URL], "image_url": URL}}, 400, "invalid_options", id="both"),
    pytest.param({"json": {"image_url": URL, "quality": 0}}, 400, "invalid_options", id="a bad option"),
    pytest.param({"json": {"image_url": URL, "model": "u2net"}}, 400, "invalid_options", id="no such model"),
    pytest.param({"json": {"image_url": URL, "store": False}}, 400, "invalid_options", id="not stored"),
    pytest.param({"json": {"image_url": URL, "expires_in": 59}}, 400, "invalid_options", id="too short"),
    pytest.param({"json": {"image_url": URL, "expires_in": 10**9}}, 400, "invalid_options", id="too long"),
    pytest.param({"content": b"x", "headers": TEXT}, 415, "unsupported_image", id="text"),
]  # fmt: skip


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED)
async def test_what_is_not_accepted(
    served: Served, tmp_path: Path, request_: dict[str, Any], status: int, code: str
) -> None:
    answer = await served.http.post("/v1/jobs", **request_)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert not (tmp_path / "jobs.sqlite").exists()


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ftp://a.example/", id="scheme"),
        pytest.param("http://a.example:22/", id="port"),
        pytest.param("http://u:p@a.example/", id="credentials"),
        pytest.param("nonsense", id="no URL"),
    ],
)
async def test_webhook_urls_pass_the_guard(settings: dict[str, Any], url: str) -> None:
    async with serving(settings) as served:
        answer = await served.http.post("/v1/jobs", json={"image_url": URL, "webhook_url": url})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_options")
        assert answer.json()["detail"].startswith("webhook_url is not valid: ")


async def test_the_end_is_told(settings: dict[str, Any]) -> None:
    courier = ScriptedCourier([503])
    settings["jobs"] = {"webhooks": {"first_delay": 0.01}}
    async with serving(settings, courier=courier) as served:
        job = await made(served.http, content=PHOTO, params={"webhook_url": "https://hook.example/"})
        await until(lambda: len(courier.sent) == 2)
        assert [json.loads(body)["data"] for *_, body in courier.sent] == [
            await ended(served.http, job["id"])
        ] * 2
        await until(lambda: served.metric("webhooks_total", fate="acknowledged") == 1)
        assert served.metric("webhooks_total", fate="postponed") == 1
        assert served.metric("job_pictures_total", status="succeeded") == 1
        secret = (await served.http.get("/v1/webhook-secret")).json()
        assert [text[:6] for text in secret["secrets"]] == ["whsec_"]


class TestResults:
    async def test_a_manifest_or_a_zip(self, served: Served) -> None:
        urls = [URL, "https://img.example/nothing.jpg", "https://img.example/sky.png"]
        job = await ended(served.http, (await made(served.http, json={"image_urls": urls}))["id"])
        manifest = await served.http.get(f"/v1/jobs/{job['id']}/results")
        assert manifest.json() == job
        answer = await served.http.get(f"/v1/jobs/{job['id']}/results", headers=ZIP)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
        assert answer.headers["content-disposition"] == f'attachment; filename="{job["id"]}.zip"'
        with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
            assert file.testzip() is None
            assert sorted(file.namelist()) == ["0000.png", "0002.png", "manifest.json"]
            assert {entry.compress_type for entry in file.infolist()} == {zipfile.ZIP_STORED}
            assert json.loads(file.read("manifest.json")) == job
            link = job["items"][2]["cutout"]["url"]
            assert file.read("0002.png") == (await served.http.get(link)).content

    async def test_not_before_the_end(self, settings: dict[str, Any]) -> None:
        engine = FakeEngine(holds=asyncio.Event())
        async with serving(settings, engine=engine) as served:
            job = await made(served.http, content=PHOTO)
            answer = await served.http.get(f"/v1/jobs/{job['id']}/results", headers=ZIP)
            assert (answer.status_code, answer.json()["code"]) == (409, "job_unfinished")

    async def test_what_was_removed_meanwhile_is_left_out(self, served: Served) -> None:
        job = await ended(served.http, (await made(served.http, json={"image_urls": [URL, URL]}))["id"])
        await served.http.delete(f"/v1/cutouts/{job['items'][0]['cutout']['id']}")
        answer = await served.http.get(f"/v1/jobs/{job['id']}/results", headers=ZIP)
        with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
            assert sorted(file.namelist()) == ["0001.png", "manifest.json"]

    async def test_one_result_at_a_time_is_in_memory(self, served: Served) -> None:
        urls = [URL] * 3
        job = await ended(served.http, (await made(served.http, json={"image_urls": urls}))["id"])
        asked: list[str] = []

        async def read(key: str) -> tuple[bytes, str]:
            asked.append(key)
            return b"x" * 1000, "image/png"

        pieces = archive(Job.model_validate(job), read)
        sizes = []
        for expected in range(4):
            sizes.append(len(await anext(pieces)))
            assert len(asked) == expected
        assert all(1000 < size < 1200 for size in sizes[1:])
        await pieces.aclose()  # type: ignore[attr-defined]


class TestEvents:
    def parsed(self, text: str) -> list[tuple[str, int, dict[str, Any]]]:
        events = []
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line and line[0] != ":")
            if fields:
                events.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
        return events

    def told(self, events: list[tuple[str, int, dict[str, Any]]]) -> list[tuple[str, int, Any]]:
        """The counts are those of the moment at which it is told."""
        return [(name, number, data.get("item", data)) for name, number, data in events]

    async def test_every_change_and_the_end(self, settings: dict[str, Any]) -> None:
        engine = FakeEngine(holds=asyncio.Event())
        async with serving(settings, engine=engine, fetcher=web()) as served:
            job = await made(served.http, json={"image_urls": [URL, URL]})
            stream = asyncio.create_task(served.http.get(f"/v1/jobs/{job['id']}/events"))
            await until(lambda: engine.waiting)
            assert engine.holds
            engine.holds.set()
            answer = await stream
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            events = self.parsed(answer.text)
            numbers = [number for _, number, _ in events]
            assert numbers == sorted(set(numbers))
            assert [name for name, *_ in events[-3:]] == ["progress", "progress", "done"]
            assert "items" not in events[0][2]
            assert {event[2]["item"]["index"] for event in events[:-1]} == {0, 1}
            assert events[-2][2]["item"]["status"] == "succeeded"
            assert events[-1][2] == (await served.http.get(f"/v1/jobs/{job['id']}")).json()
            path = f"/v1/jobs/{job['id']}/events"
            newest = {data["item"]["index"]: number for name, number, data in events if name == "progress"}
            for last in (0, *numbers):
                resumed = await served.http.get(path, headers={"Last-Event-ID": str(last)})
                left = [
                    event
                    for event in events
                    if event[0] == "done" or last < event[1] == newest[event[2]["item"]["index"]]
                ]
                assert self.told(self.parsed(resumed.text)) == self.told(left)
            served.assert_at_rest()

    @pytest.mark.parametrize("number", ["", "x", "-1", "1" * 99, "٣"])
    async def test_numbers_that_are_none_begin_at_the_beginning(self, served: Served, number: str) -> None:
        job = await ended(served.http, (await made(served.http, content=PHOTO))["id"])
        headers = {"Last-Event-ID": number.encode()}
        answer = await served.http.get(f"/v1/jobs/{job['id']}/events", headers=headers)  # type: ignore[arg-type]
        assert [name for name, *_ in self.parsed(answer.text)] == ["progress", "done"]

    async def test_a_stream_takes_no_place_of_requests(self, settings: dict[str, Any]) -> None:
        engine = FakeEngine(holds=asyncio.Event())
        limits = {"limits": {"in_flight": 1}, "jobs": {"streams": 1}}
        async with serving(settings | limits, engine=engine) as served:
            path = f"/v1/jobs/{(await made(served.http, content=PHOTO))['id']}"
            stream = asyncio.create_task(served.http.get(f"{path}/events"))
            await until(lambda: engine.waiting)
            await asyncio.sleep(0.05)
            refused = await served.http.get(f"{path}/events")
            assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
            assert (await served.http.get(path)).status_code == 200
            assert (await served.http.delete(path)).status_code == 204
            events = self.parsed((await stream).text)
            assert (events[-1][0], events[-1][2]["status"]) == ("done", "cancelled")

    async def test_every_item_is_told_of_the_end(self, settings: dict[str, Any]) -> None:
        async with serving(settings, engine=FakeEngine(holds=asyncio.Event()), fetcher=web()) as served:
            path = f"/v1/jobs/{(await made(served.http, json={'image_urls': [URL] * 4}))['id']}"
            assert (await served.http.delete(path)).status_code == 204
            events = self.parsed((await served.http.get(f"{path}/events")).text)
            assert [name for name, *_ in events] == ["progress"] * 4 + ["done"]

    async def test_streams_end_when_the_service_does(self, settings: dict[str, Any]) -> None:
        engine = FakeEngine(holds=asyncio.Event())
        async with serving(settings, engine=engine) as served:
            job = await made(served.http, content=PHOTO)
            stream = asyncio.create_task(served.http.get(f"/v1/jobs/{job['id']}/events"))
            await until(lambda: engine.waiting)
            served.service.draining = True
            assert "event: done" not in (await stream).text


class TestRemoving:
    async def test_a_finished_job_and_its_results(self, served: Served) -> None:
        job = await ended(served.http, (await made(served.http, json={"image_urls": [URL, URL]}))["id"])
        deleted = await served.http.delete(f"/v1/jobs/{job['id']}")
        assert (deleted.status_code, deleted.content) == (204, b"")
        for item in job["items"]:
            assert (await served.http.get(item["cutout"]["url"])).status_code == 404
        for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/results")):
            gone = await served.http.request(method, f"/v1/jobs/{job['id']}{tail}")
            assert (gone.status_code, gone.json()["code"]) == (404, "not_found")

    async def test_what_was_being_stored_goes_too(self, settings: dict[str, Any]) -> None:
        store = memory_store()
        put, begun, goes_on = store.put, asyncio.Event(), asyncio.Event()

        async def slow(*given: Any, **named: Any) -> Link:
            link = await put(*given, **named)  # it is there, and only its writer does not know yet
            begun.set()
            await goes_on.wait()
            return link

        store.put = slow  # type: ignore[method-assign]
        async with serving(settings, store=store) as served:
            job = await made(served.http, content=PHOTO)
            await begun.wait()
            assert (await served.http.delete(f"/v1/jobs/{job['id']}")).status_code == 204
            goes_on.set()
            await until(lambda: not store._entries)
            assert (await ended(served.http, job["id"]))["status"] == "cancelled"

    async def test_what_has_not_begun_never_does(self, settings: dict[str, Any]) -> None:
        engine = FakeEngine(holds=asyncio.Event())
        async with serving(settings, engine=engine, fetcher=web()) as served:
            job = await made(served.http, json={"image_urls": [URL] * 3})
            await until(lambda: engine.waiting)
            assert (await served.http.delete(f"/v1/jobs/{job['id']}")).status_code == 204
            await until(lambda: engine.cancelled == 1)
            assert engine.holds
            engine.holds.set()
            job = await ended(served.http, job["id"])
            assert (job["status"], job["succeeded"]) == ("cancelled", 0)
            assert {item["status"] for item in job["items"]} == {"cancelled"}
            assert engine.seen == []
            assert (await served.http.delete(f"/v1/jobs/{job['id']}")).status_code == 204
            assert (await served.http.get(f"/v1/jobs/{job['id']}")).status_code == 404
