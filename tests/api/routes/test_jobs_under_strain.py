"""Jobs when not all is well: a busy service, broken parts, restarts, limits."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import httpx
import pytest

from api.errors import StoreUnavailable
from api.jobs.ledger import JobLedger
from api.jobs.records import Task
from model import errors as model_errors
from tests.api.routes.accepted import ended, made, until
from tests.api.routes.sent import FILE, PAGES, PHOTO, URL, web
from tests.fakes import BASE_URL, FailingStore, FakeEngine, FakeFetcher, ScriptedCourier, memory_store
from tests.service import Served, serving


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"data_dir": tmp_path}


@pytest.fixture
async def served(settings: dict[str, Any]) -> AsyncIterator[Served]:
    async with serving(settings, fetcher=web(), courier=ScriptedCourier()) as served:
        yield served
        served.assert_at_rest()


async def test_a_service_that_is_busy_postpones(settings: dict[str, Any]) -> None:
    engine = FakeEngine(fails=model_errors.Overloaded(retry_after=0.05))
    async with serving(settings | {"jobs": {"attempts": 1}}, engine=engine) as served:
        job = await made(served.http, content=PHOTO)
        await until(lambda: served.metric("job_pictures_total", status="postponed") == 2)
        engine.fails = None
        assert (await ended(served.http, job["id"]))["status"] == "succeeded"


async def test_what_stays_broken_fails_after_some_attempts(settings: dict[str, Any]) -> None:
    engine = FakeEngine(fails=model_errors.OutOfMemory("x"))
    async with serving(settings | {"jobs": {"attempts": 2}}, engine=engine) as served:
        job = await ended(served.http, (await made(served.http, content=PHOTO))["id"])
        assert (job["status"], job["items"][0]["error"]["code"]) == ("failed", "out_of_memory")
        assert len(engine.seen) == 2


async def test_an_error_that_nobody_foresaw_is_one_pictures(settings: dict[str, Any]) -> None:
    engine = FakeEngine(fails=ZeroDivisionError("/a/path"))
    async with serving(settings, engine=engine) as served:
        job = await ended(served.http, (await made(served.http, content=PHOTO))["id"])
        assert job["items"][0]["error"]["code"] == "internal_error"
        assert "/a/path" not in json.dumps(job)
        engine.fails = None
        again = await ended(served.http, (await made(served.http, content=PHOTO))["id"])
        assert again["status"] == "succeeded"


async def test_a_claim_that_came_too_late_is_given_back(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, delays = JobLedger._claim, [1.0]

    def slow(ledger: JobLedger, connection: Connection) -> Task | None:
        task = claim(ledger, connection)
        if task and delays:
            time.sleep(delays.pop())  # and then it is written, though nobody waits any longer
        return task

    monkeypatch.setattr(JobLedger, "_claim", slow)
    async with serving(settings | {"jobs": {"timeout": 0.5, "attempts": 1}}, fetcher=web()) as served:
        job = await made(served.http, content=PHOTO)
        assert (await ended(served.http, job["id"]))["status"] == "succeeded"
        assert not delays


async def test_requests_go_first(settings: dict[str, Any]) -> None:
    """While a request is worked on, one picture of a job is, and no more."""
    engine = FakeEngine(holds=asyncio.Event())
    async with serving(settings | {"cpu_jobs": 2, "pictures": 4}, engine=engine, fetcher=web()) as served:
        request = asyncio.create_task(served.http.post("/v1/cutouts", files=FILE))
        await until(lambda: engine.waiting == 1)
        job = await made(served.http, json={"image_urls": [URL] * 5})
        await until(lambda: engine.waiting == 2)
        await asyncio.sleep(0.1)
        assert engine.waiting == 2
        more = asyncio.create_task(served.http.post("/v1/cutouts", files=FILE))
        await until(lambda: engine.waiting == 3)
        assert engine.holds
        engine.holds.set()
        assert {(await request).status_code, (await more).status_code} == {201}
        assert (await ended(served.http, job["id"]))["succeeded"] == 5


async def test_a_restart_goes_on(settings: dict[str, Any]) -> None:
    store = memory_store()
    engine = FakeEngine(holds=asyncio.Event())
    async with serving(settings, engine=engine, store=store) as served:
        job = await made(served.http, content=PHOTO)
        await until(lambda: engine.waiting)
    assert engine.cancelled == 1
    async with serving(settings, store=store) as served:
        job = await ended(served.http, job["id"])
        assert job["status"] == "succeeded"
        assert len(store._entries) == 1
        assert job["url"] == f"http://127.0.0.1:8000/v1/jobs/{job['id']}"


async def test_results_end_when_they_were_asked_to(settings: dict[str, Any]) -> None:
    async with serving(settings) as served:
        job = await made(served.http, content=PHOTO, params={"expires_in": 60})
        job = await ended(served.http, job["id"])
        link = job["items"][0]["cutout"]["url"]
        assert link.startswith(f"{BASE_URL}/v1/cutouts/")
        assert 50 < int(httpx.URL(link).params["expires"]) - time.time() <= 61


async def test_limits_are_told_with_a_time_to_wait(settings: dict[str, Any]) -> None:
    engine = FakeEngine(holds=asyncio.Event())
    async with serving(settings | {"jobs": {"per_caller": 1}}, engine=engine) as served:
        await made(served.http, content=PHOTO)
        answer = await served.http.post("/v1/jobs", content=PHOTO)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) >= 1


async def test_without_a_disk_nothing_is_accepted(settings: dict[str, Any]) -> None:
    async with serving(settings | {"jobs": {"database": "/dev/null/jobs.sqlite"}}) as served:
        answer = await served.http.post("/v1/jobs", content=PHOTO)
        assert (answer.status_code, answer.json()["code"]) == (503, "jobs_unavailable")
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201


async def test_a_background_that_was_uploaded(served: Served) -> None:
    files = {"image": PHOTO, "background_image": PAGES["https://img.example/sky.png"]}
    job = await ended(served.http, (await made(served.http, files=files))["id"])
    direct = await served.http.post("/v1/cutouts", files=files, headers={"Accept": "image/*"})
    assert (await served.http.get(job["items"][0]["cutout"]["url"])).content == direct.content


async def test_a_store_that_fails_for_a_while(settings: dict[str, Any]) -> None:
    class Moody(type(memory_store())):  # type: ignore[misc]
        failures = 1

        async def put(self, *given: Any, **more: Any) -> Any:
            if self.failures:
                self.failures -= 1
                raise StoreUnavailable("x")
            return await super().put(*given, **more)

    store = Moody(memory_store().signer)
    async with serving(settings, store=store, fetcher=FakeFetcher(PAGES)) as served:
        job = await ended(served.http, (await made(served.http, content=PHOTO))["id"])
        assert job["status"] == "succeeded"
        assert served.metric("job_pictures_total", status="postponed") == 1


async def test_a_slow_store_keeps_a_request_waiting_and_a_job_not(settings: dict[str, Any]) -> None:
    """What docs/STORAGE.md says of an upload that nobody waits for."""

    class Slow(type(memory_store())):  # type: ignore[misc]
        entered, free = 0, asyncio.Event()

        async def put(self, *given: Any, **more: Any) -> Any:
            self.entered += 1
            await self.free.wait()
            return await super().put(*given, **more)

    store = Slow(memory_store().signer)
    async with serving(settings, store=store, fetcher=FakeFetcher(PAGES)) as served:
        job = await made(served.http, content=PHOTO)
        await until(lambda: store.entered == 1)
        request = asyncio.create_task(served.http.post("/v1/cutouts", files=FILE))
        await until(lambda: store.entered == 2)
        seen = (await served.http.get(f"/v1/jobs/{job['id']}")).json()
        assert (seen["status"], seen["items"][0]["cutout"]) == ("running", None), (
            "no link before there is a cutout"
        )
        assert not request.done()
        store.free.set()
        assert (await request).status_code == 201
        link = (await ended(served.http, job["id"]))["items"][0]["cutout"]["url"]
        assert (await served.http.get(link)).status_code == 200


async def test_an_upload_that_never_arrives_is_told(settings: dict[str, Any]) -> None:
    config = settings | {"jobs": {"attempts": 1}}
    courier = ScriptedCourier()
    async with serving(config, store=FailingStore(StoreUnavailable("x")), courier=courier) as served:
        wish = {"webhook_url": "https://hooks.example/x"}
        job = await ended(served.http, (await made(served.http, content=PHOTO, params=wish))["id"])
        (item,) = job["items"]
        assert (job["status"], item["error"]["code"]) == ("failed", "storage_unavailable")
        await until(lambda: courier.sent)
