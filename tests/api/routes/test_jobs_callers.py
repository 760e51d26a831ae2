"""/v1/jobs and whose they are: other keys, credits, keys that are revoked meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from api.accounts import Accounts, AccountsConfig
from api.accounts.keys import KeyRecord, make_key
from api.errors import AccountsUnavailable
from tests.api.routes.accepted import ended, made, until
from tests.api.routes.sent import PHOTO, URL, web
from tests.fakes import FakeEngine, MemoryLedger, memory_store
from tests.service import KEY, serving


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"data_dir": tmp_path}


def key_of(ledger: MemoryLedger, credits: float | None = None) -> dict[str, str]:
    key, id, digest = make_key()
    amount = None if credits is None else round(credits * 1000)
    ledger.records[id] = KeyRecord(id, digest, "default", "", 0, None, amount, amount)
    return {"X-Api-Key": key}


class TestCallers:
    async def test_another_keys_job_is_not_found(self, settings: dict[str, Any]) -> None:
        ledger = MemoryLedger()
        mine, others = key_of(ledger), key_of(ledger)
        accounts = Accounts(AccountsConfig(), ledger, secret=KEY)
        async with serving(
            settings | {"anonymous": False, "secret_access": KEY}, accounts=accounts
        ) as served:
            assert (await served.http.post("/v1/jobs", content=PHOTO)).status_code == 401
            job = await made(served.http, content=PHOTO, headers=mine)
            for headers in (others, {"X-Api-Key": KEY}):
                for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/results")):
                    answer = await served.http.request(method, f"/v1/jobs/{job['id']}{tail}", headers=headers)
                    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            secrets = [
                (await served.http.get("/v1/webhook-secret", headers=headers)).json()["secrets"]
                for headers in (mine, others)
            ]
            assert secrets[0] != secrets[1]

    async def test_what_succeeds_is_paid_for(self, settings: dict[str, Any]) -> None:
        ledger = MemoryLedger()
        headers = key_of(ledger, 2)
        accounts = Accounts(AccountsConfig(), ledger)
        async with serving(settings, fetcher=web(), accounts=accounts) as served:
            served.http.headers.update(headers)
            too_much = await served.http.post("/v1/jobs", json={"image_urls": [URL] * 3})
            assert (too_much.status_code, too_much.json()["code"]) == (402, "insufficient_credits")
            urls = [URL, "https://img.example/nothing.jpg"]
            await ended(served.http, (await made(served.http, json={"image_urls": urls}))["id"])
            (record,) = ledger.records.values()
            assert record.balance == 1000

    async def test_of_two_for_the_last_credit_one_fails(self, settings: dict[str, Any]) -> None:
        ledger, engine, store = MemoryLedger(), FakeEngine(holds=asyncio.Event()), memory_store()
        headers = key_of(ledger, 1)
        accounts = Accounts(AccountsConfig(), ledger)
        settings["cpu_jobs"] = 2
        async with serving(settings, engine=engine, store=store, accounts=accounts) as served:
            served.http.headers.update(headers)
            jobs = [await made(served.http, content=PHOTO) for _ in range(2)]
            await until(lambda: engine.waiting == 2)
            assert engine.holds
            engine.holds.set()
            fates = [await ended(served.http, job["id"]) for job in jobs]
            assert sorted(job["status"] for job in fates) == ["failed", "succeeded"]
            (error,) = [job["items"][0]["error"] for job in fates if job["status"] == "failed"]
            assert error["code"] == "insufficient_credits"
            (record,) = ledger.records.values()
            assert record.balance == 0
            results = [job["items"][0]["cutout"] for job in fates if job["status"] == "succeeded"]
            assert len(results) == len(store._entries) == 1

    async def test_what_may_have_been_paid_for_is_not_paid_for_again(self, settings: dict[str, Any]) -> None:
        """The charge is made, and its answer is lost."""

        class Forgetful(MemoryLedger):
            async def charge(self, id: str, amount: int) -> bool:
                await super().charge(id, amount)
                raise AccountsUnavailable("no answer within 2 s")

        ledger = Forgetful()
        headers = key_of(ledger, 5)
        async with serving(settings, accounts=Accounts(AccountsConfig(), ledger)) as served:
            served.http.headers.update(headers)
            job = await ended(served.http, (await made(served.http, content=PHOTO))["id"])
            assert job["status"] == "succeeded"
            assert job["items"][0]["cutout"]["url"]
            (record,) = ledger.records.values()
            assert record.balance == 4000

    async def test_a_key_that_was_revoked_meanwhile(self, settings: dict[str, Any]) -> None:
        ledger, engine = MemoryLedger(), FakeEngine(holds=asyncio.Event())
        first, second = key_of(ledger), key_of(ledger)
        accounts = Accounts(AccountsConfig(), ledger)
        async with serving(settings, engine=engine, accounts=accounts) as served:
            await made(served.http, content=PHOTO, headers=first)
            await until(lambda: engine.waiting)
            job = await made(served.http, content=PHOTO, headers=second)
            events = asyncio.create_task(served.http.get(f"/v1/jobs/{job['id']}/events", headers=second))
            await asyncio.sleep(0.05)
            await ledger.revoke(list(ledger.records)[1])
            assert engine.holds
            engine.holds.set()
            assert '"code":"unauthorized"' in (await events).text
