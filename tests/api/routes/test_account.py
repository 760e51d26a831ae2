"""Keys, rates and credits over HTTP: what each contract answers, and what the headers and logs tell."""

import asyncio
import base64
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from api.accounts.keys import KeyRecord, make_key
from api.accounts.sqlite import SqliteLedger
from tests.fakes import FakeEngine, photo
from tests.service import KEY, Served, serving

PHOTO = photo()
FILE = {"image": ("a.jpg", PHOTO)}
LOCKED: dict[str, Any] = {"anonymous": False, "secret_access": KEY}
LIMIT_HEADERS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


async def make(
    folder: Path, *, plan: str = "default", balance: int | None = None
) -> tuple[str, SqliteLedger]:
    """A new key, as `objectcut keys` makes it, and the file that it is in."""
    ledger = SqliteLedger(folder / "accounts.sqlite", timeout=20)
    key, id, digest = make_key()
    await ledger.add(KeyRecord(id, digest, plan, "", 0, None, balance, balance))
    return key, ledger


async def test_an_account_tells_what_is_left(tmp_path: Path) -> None:
    key, ledger = await make(tmp_path, balance=1500)
    settings = LOCKED | {"data_dir": tmp_path, "accounts": {"plan": {"requests_per_minute": 5}}}
    async with serving(settings) as served:
        served.http.headers["X-Api-Key"] = key
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201
        answer = await served.http.get("/v1/account")
        body = answer.json()
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert body.pop("id").startswith("key_")
        assert abs(body["rate"].pop("reset") - time.time()) < 65
        assert body == {
            "plan": "default",
            "credits": {"left": 0.5, "total": 1.5},
            "credits_per_cutout": 1.0,
            "rate": {"limit": 5, "remaining": 3},
            "megapixels_per_minute": None,
            "in_flight": 32,
        }
    await ledger.close()


async def test_the_operator_has_no_limits() -> None:
    async with serving(LOCKED | {"accounts": {"plan": {"requests_per_minute": 1}}}) as served:
        served.http.headers["X-Api-Key"] = KEY
        answers = [await served.http.get("/v1/account") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        body = answers[0].json()
        assert (body["id"], body["credits"], body["rate"], body["in_flight"]) == ("secret", None, None, None)
        assert not set(LIMIT_HEADERS) & set(answers[0].headers)


async def test_the_minute_in_headers_and_beyond(tmp_path: Path) -> None:
    key, ledger = await make(tmp_path)
    settings = LOCKED | {"data_dir": tmp_path, "accounts": {"plan": {"requests_per_minute": 3}}}
    async with serving(settings) as served:
        headers = {"Authorization": f"Bearer {key}"}
        cut = await served.http.post("/v1/cutouts", files=FILE, headers=headers)
        bad = await served.http.post("/v1/cutouts", json={}, headers=headers)
        models = await served.http.get("/v1/models", headers=headers)
        over = await served.http.get("/v1/models", headers=headers)
        assert [each.status_code for each in (cut, bad, models, over)] == [201, 400, 200, 429]
        told = [[int(each.headers[name]) for name in LIMIT_HEADERS] for each in (cut, bad, models, over)]
        assert [row[:2] for row in told] == [[3, 2], [3, 1], [3, 0], [3, 0]]
        assert all(0 <= row[2] - time.time() <= 61 for row in told)
        problem = over.json()
        assert (problem["code"], problem["type"]) == ("rate_limited", "/errors#rate_limited")
        wait = int(over.headers["retry-after"])
        assert 0 < wait <= 61
        assert abs(time.time() + wait - told[3][2]) <= 2, "not before the minute has ended"
        open_route = await served.http.get("/healthz", headers=headers)
        assert not set(LIMIT_HEADERS) & set(open_route.headers)
        served.assert_at_rest()
    await ledger.close()


async def test_megapixels_are_counted_as_decoded_whatever_becomes_of_them(tmp_path: Path) -> None:
    key, ledger = await make(tmp_path)
    settings = LOCKED | {"data_dir": tmp_path, "accounts": {"plan": {"megapixels_per_minute": 0.01}}}
    engine = FakeEngine(empty=True)
    async with serving(settings, engine=engine) as served:
        served.http.headers["X-Api-Key"] = key
        failed = await served.http.post("/v1/cutouts", files=FILE, data={"crop": "true"})
        assert failed.json()["code"] == "no_subject"
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201
        answer = await served.http.post("/v1/cutouts", files=FILE)
        assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
        assert len(engine.seen) == 2, "0.006 megapixels each"
    await ledger.close()


async def test_no_key_takes_every_place(tmp_path: Path) -> None:
    (one, ledger), (two, other) = await make(tmp_path), await make(tmp_path)
    engine = FakeEngine(holds=asyncio.Event())
    settings = LOCKED | {"data_dir": tmp_path, "limits": {"in_flight": 4}}
    async with serving(settings, engine=engine) as served:

        async def cut(key: str) -> Any:
            return await served.http.post("/v1/cutouts", files=FILE, headers={"X-Api-Key": key})

        held = [asyncio.create_task(cut(one)) for _ in range(2)]
        await waiting_for(engine, 2)
        refused = await cut(one)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) >= 1
        held += [asyncio.create_task(cut(two)) for _ in range(2)]
        await waiting_for(engine, 4)
        assert (await cut(KEY)).json()["code"] == "overloaded"
        assert engine.holds
        engine.holds.set()
        assert [(await each).status_code for each in held] == [201] * 4
        assert (await cut(one)).status_code == 201
        served.assert_at_rest()
    await ledger.close()
    await other.close()


async def waiting_for(engine: FakeEngine, count: int) -> None:
    while engine.waiting < count:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_credits_of_v1(tmp_path: Path) -> None:
    key, ledger = await make(tmp_path, plan="half", balance=1000)
    plans = {"half": {"credits_per_cutout": 0.5}}
    engine = FakeEngine(fails=ZeroDivisionError())
    settings = LOCKED | {"data_dir": tmp_path, "accounts": {"plans": plans}}
    async with serving(settings, engine=engine) as served:
        served.http.headers["X-Api-Key"] = key

        async def left() -> Any:
            return (await served.http.get("/v1/account")).json()["credits"]["left"]

        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 500
        assert await left() == 1
        engine.fails = None
        for rest in (0.5, 0):
            assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201
            assert await left() == rest
        seen = len(engine.seen)
        answer = await served.http.post("/v1/cutouts", files=FILE)
        assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
        assert len(engine.seen) == seen, "nothing was computed"
        await ledger.grant(answer_id(await served.http.get("/v1/account")), 500)
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201
    await ledger.close()


def answer_id(answer: Any) -> str:
    return str(answer.json()["id"])


async def test_credits_of_the_original_contract(tmp_path: Path) -> None:
    key, ledger = await make(tmp_path, balance=1000)
    async with serving(LOCKED | {"data_dir": tmp_path}) as served:
        headers = {"X-Secret-Access": key}
        form = {"image_base64": PHOTO.hex()}
        assert (await remove(served, headers, form))["error_id"] == "002"
        form = {"image_base64": "data:image/jpeg;base64," + base64.b64encode(PHOTO).decode()}
        assert not (await remove(served, headers, form))["error"]
        refused = await remove(served, headers, form)
        assert (refused["error"], refused["error_id"]) == (True, "001")
        assert served.metric("errors_total", code="insufficient_credits") == 1
    await ledger.close()


async def remove(served: Served, headers: dict[str, str], form: dict[str, str]) -> Any:
    answer = await served.http.post("/remove", headers=headers, data=form)
    assert answer.status_code == 200
    return answer.json()


async def test_a_revoked_key_is_refused_at_once(tmp_path: Path) -> None:
    key, ledger = await make(tmp_path)
    async with serving({"anonymous": False, "data_dir": tmp_path}) as served:  # without an operator's key
        served.http.headers["X-Api-Key"] = key
        answer = await served.http.get("/v1/account")
        await ledger.revoke(answer_id(answer))
        refused = await served.http.get("/v1/account")
        assert [answer.status_code, refused.status_code] == [200, 401]
        assert (refused.json()["code"], refused.headers["www-authenticate"]) == ("unauthorized", "Bearer")
        assert (await served.http.get("/v1/account", headers={"X-Api-Key": ""})).status_code == 401
    await ledger.close()


async def test_neither_keys_nor_hashes_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key, ledger = await make(tmp_path, balance=1000)
    proxy = "a-secret-of-the-proxy"
    settings = LOCKED | {"data_dir": tmp_path, "accounts": {"rapidapi": {"proxy_secret": proxy}}}
    async with serving(settings) as served:
        vouched = {"X-RapidAPI-Proxy-Secret": proxy, "X-RapidAPI-User": "ann"}
        shown: list[dict[str, str]] = [
            {"X-Api-Key": key},
            {"X-Api-Key": key[:-1] + "."},
            {"Authorization": f"Bearer {key[:-1]}x"},
            vouched,
            vouched | {"X-RapidAPI-Proxy-Secret": proxy + "x"},
        ]
        answers = [await served.http.post("/v1/cutouts", files=FILE, headers=each) for each in shown]
        assert [each.status_code for each in answers] == [201, 401, 401, 201, 401]
    (record,) = await ledger.all()
    lines = [line.__dict__["fields"] for line in caplog.records if line.name == "objectcut.requests"]
    assert [line.get("caller") for line in lines] == [record.id, None, None, "rapidapi:ann", None]
    told = "".join(f"{line.__dict__}" for line in caplog.records)
    secrets = (key[16:40], record.digest.hex(), repr(record.digest)[2:-1], proxy)
    assert [secret for secret in secrets if secret in told] == []
    await ledger.close()


async def test_accounts_that_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "accounts.sqlite").write_bytes(b"no database" * 100)
    async with serving(LOCKED | {"data_dir": tmp_path}) as served:
        answer = await served.http.get("/v1/account", headers={"X-Api-Key": make_key()[0]})
        assert (answer.status_code, answer.json()["code"]) == (503, "accounts_unavailable")
        assert "retry-after" in answer.headers
        assert "sqlite" not in answer.text.lower()
        assert (await served.http.get("/v1/account", headers={"X-Api-Key": KEY})).status_code == 200


async def test_anonymous_callers_share_by_address() -> None:
    anonymous = {"requests_per_minute": 2, "in_flight": 1}
    async with serving({"accounts": {"anonymous": anonymous}}) as served:
        asked = [await served.http.get("/v1/models", headers={"X-Api-Key": f"k{n}"}) for n in range(3)]
        assert [each.status_code for each in asked] == [200, 200, 429]
        assert [each.headers["x-ratelimit-remaining"] for each in asked] == ["1", "0", "0"]
