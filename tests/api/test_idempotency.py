"""Idempotency-Key on the POSTs of every contract."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.accounts import Accounts, AccountsConfig
from api.accounts.keys import KeyRecord, make_key
from api.jobs.answers import Answer, KeptAnswers
from api.jobs.config import JobsConfig
from api.jobs.database import Database
from model import errors as model_errors
from tests.api.routes.removebg.conftest import account
from tests.api.routes.sent import FILE, PHOTO, URL, pixels, web
from tests.fakes import FakeClock, FakeEngine, FakeFetcher, MemoryLedger, ScriptedCourier, photo
from tests.service import KEY, Served, serving

OTHER = {"image": ("a.jpg", photo(50, 50))}
ONCE = {"Idempotency-Key": "an-order-of-1:2026/11"}
REPLAYED = "idempotent-replayed"


class Engine(FakeEngine):
    """Counts."""

    @property
    def runs(self) -> int:
        return len(self.seen)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def served(tmp_path: Path, engine: Engine) -> AsyncIterator[Served]:
    async with serving({"data_dir": tmp_path}, engine=engine, fetcher=web()) as served:
        served.http.headers.update(ONCE)
        yield served
        served.assert_at_rest()


async def test_the_first_answer_again(served: Served, engine: Engine) -> None:
    first = await served.http.post("/v1/cutouts", files=FILE)
    again = await served.http.post("/v1/cutouts", files=FILE)  # with another boundary
    assert (first.status_code, again.status_code, engine.runs) == (201, 201, 1)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert (first.headers.get(REPLAYED), again.headers[REPLAYED]) == (None, "true")


async def test_a_room_is_opened_once(served: Served) -> None:
    first, again = [
        await served.http.post("/v1/rooms", params={"page": "https://cut.example/"}) for _ in range(2)
    ]
    assert first.status_code == 201
    assert again.content == first.content
    assert again.headers[REPLAYED] == "true"


async def test_a_job_is_accepted_once(served: Served) -> None:
    first, again = [await served.http.post("/v1/jobs", json={"image_urls": [URL]}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.content == first.content
    assert again.headers[REPLAYED] == "true"


async def test_a_job_is_accepted_once_even_if_its_answer_was_lost(tmp_path: Path) -> None:
    """As after a crash between the job and the answer: nothing was kept but the job itself."""
    async with serving({"data_dir": tmp_path, "jobs": {"answer_bytes": 0}}, fetcher=web()) as served:
        served.http.headers.update(ONCE)
        first, again = [await served.http.post("/v1/jobs", content=PHOTO) for _ in range(2)]
        assert first.json()["id"] == again.json()["id"]
        other = await served.http.post("/v1/jobs", files=OTHER)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


DIFFERENT = [
    pytest.param("/v1/cutouts", {"files": OTHER}, id="another picture"),
    pytest.param("/v1/cutouts", {"files": FILE, "data": {"output": "mask"}}, id="another option"),
    pytest.param("/v1/cutouts?crop=true", {"files": FILE}, id="another query"),
    pytest.param("/v1/cutouts", {"files": FILE, "headers": {"Accept": "image/png"}}, id="another answer"),
    pytest.param("/v1/jobs", {"files": FILE}, id="another route"),
]


@pytest.mark.parametrize(("path", "request_"), DIFFERENT)
async def test_another_request_is_refused(
    served: Served, engine: Engine, path: str, request_: dict[str, Any]
) -> None:
    await served.http.post("/v1/cutouts", files=FILE)
    answer = await served.http.post(path, **request_)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_mismatch")
    assert REPLAYED not in answer.headers
    assert engine.runs == 1
    assert (await served.http.post("/v1/cutouts", files=FILE)).headers[REPLAYED] == "true"


async def test_rembg_s_clients_are_told_in_a_list(served: Served) -> None:
    for photo_, status in ((PHOTO, 200), (OTHER["image"][1], 422)):
        answer = await served.http.post("/api/remove", files={"file": ("a.jpg", photo_)})
        assert answer.status_code == status
    assert answer.json()["code"] == "idempotency_mismatch"
    assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "tab\there"])
async def test_keys_that_are_none(served: Served, engine: Engine, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    answer = await served.http.post("/v1/cutouts", files=FILE, headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_options")
    assert engine.runs == 0


async def test_while_the_first_is_worked_on(served: Served, engine: Engine) -> None:
    engine.holds = asyncio.Event()
    first = asyncio.create_task(served.http.post("/v1/cutouts", files=FILE))
    while not engine.waiting:
        assert not first.done()
        await asyncio.sleep(0.01)
    second = await served.http.post("/v1/cutouts", files=FILE)
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
    assert int(second.headers["retry-after"]) >= 1
    engine.holds.set()
    assert (await first).status_code == 201
    assert (await served.http.post("/v1/cutouts", files=FILE)).headers[REPLAYED] == "true"
    assert engine.runs == 1


async def test_answers_in_bytes_are_made_again(served: Served, engine: Engine) -> None:
    first, again = [
        await served.http.post("/v1/cutouts", files=FILE, headers={"Accept": "image/png"}) for _ in range(2)
    ]
    assert first.content == again.content
    assert (first.headers.get(REPLAYED), again.headers[REPLAYED]) == (None, "true")
    assert engine.runs == 2
    other = await served.http.post("/v1/cutouts", files=OTHER, headers={"Accept": "image/png"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


PASSING = [
    pytest.param(model_errors.Overloaded(retry_after=1), 429, id="429"),
    pytest.param(model_errors.InferenceFailed("x"), 500, id="500"),
    pytest.param(model_errors.OutOfMemory("x"), 503, id="503"),
]


@pytest.mark.parametrize(("error", "status"), PASSING)
async def test_what_passes_is_not_kept(served: Served, engine: Engine, error: Exception, status: int) -> None:
    engine.fails = error
    assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == status
    engine.fails = None
    answer = await served.http.post("/v1/cutouts", files=FILE)
    assert (answer.status_code, REPLAYED in answer.headers) == (201, False)


async def test_what_does_not_pass_is_kept(tmp_path: Path) -> None:
    fetcher = FakeFetcher({})
    async with serving({"data_dir": tmp_path}, fetcher=fetcher) as served:
        first, again = [
            await served.http.post("/v1/cutouts", json={"image_url": URL}, headers=ONCE) for _ in range(2)
        ]
        assert (first.status_code, first.content) == (422, again.content)
        assert again.headers[REPLAYED] == "true"
        assert fetcher.asked == [URL]


async def test_without_a_key_nothing_is_kept(served: Served, engine: Engine, tmp_path: Path) -> None:
    del served.http.headers["Idempotency-Key"]
    for _ in range(2):
        assert REPLAYED not in (await served.http.post("/v1/cutouts", files=FILE)).headers
    assert engine.runs == 2
    assert not (tmp_path / "jobs.sqlite").exists()


class TestCallers:
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    def key(self, ledger: MemoryLedger) -> dict[str, str]:
        key, id, digest = make_key()
        ledger.records[id] = KeyRecord(id, digest, "default", "", 0, None, 5000, 5000)
        return {"X-Api-Key": key} | ONCE

    async def test_each_has_keys_of_its_own(
        self, tmp_path: Path, ledger: MemoryLedger, engine: Engine
    ) -> None:
        mine, others = self.key(ledger), self.key(ledger)
        accounts = Accounts(AccountsConfig(), ledger, secret=KEY)
        settings = {"data_dir": tmp_path, "anonymous": False, "secret_access": KEY}
        async with serving(settings, engine=engine, accounts=accounts) as served:
            for headers in (mine, others):
                assert (
                    REPLAYED
                    not in (await served.http.post("/v1/cutouts", files=FILE, headers=headers)).headers
                )
            await ledger.revoke(next(iter(ledger.records)))
            refused = await served.http.post("/v1/cutouts", files=FILE, headers=mine)
            assert refused.status_code == 401  # an answer that was kept is nobody's but the caller's
            again = await served.http.post("/v1/cutouts", files=FILE, headers=others)
            assert again.headers[REPLAYED] == "true"

    @pytest.mark.parametrize("accept", ["application/json", "image/png"])
    async def test_it_is_paid_for_once(self, tmp_path: Path, ledger: MemoryLedger, accept: str) -> None:
        headers = self.key(ledger) | {"Accept": accept}
        async with serving({"data_dir": tmp_path}, accounts=Accounts(AccountsConfig(), ledger)) as served:
            for _ in range(3):
                answer = await served.http.post("/v1/cutouts", files=FILE, headers=headers)
                assert answer.is_success
        (record,) = ledger.records.values()
        assert record.balance == 4000

    @pytest.mark.parametrize("field", ["image_url", "background_image_url"])
    async def test_another_picture_behind_the_url_was_not_paid_for(
        self, tmp_path: Path, ledger: MemoryLedger, field: str
    ) -> None:
        headers = self.key(ledger) | {"Accept": "image/png"}
        fetcher = FakeFetcher({URL: PHOTO, f"{URL}2": PHOTO})
        asked = {"image_url": f"{URL}2"} | {field: URL}
        accounts = Accounts(AccountsConfig(), ledger)
        async with serving({"data_dir": tmp_path}, fetcher=fetcher, accounts=accounts) as served:
            for page, status in ((PHOTO, 200), (PHOTO, 200), (photo(50, 50), 422), (PHOTO, 200)):
                fetcher.pages = {f"{URL}2": PHOTO, URL: page}
                answer = await served.http.post("/v1/cutouts", json=asked, headers=headers)
                assert answer.status_code == status, answer.text
        (record,) = ledger.records.values()
        assert record.balance == 4000

    async def test_repetitions_count_as_requests(self, tmp_path: Path) -> None:
        settings = {"data_dir": tmp_path, "accounts": {"anonymous": {"requests_per_minute": 2}}}
        async with serving(settings) as served:
            statuses = [
                (await served.http.post("/v1/cutouts", files=FILE, headers=ONCE)).status_code
                for _ in range(3)
            ]
            assert statuses == [201, 201, 429]


async def test_a_failure_that_was_not_kept_whole_is_no_voucher(tmp_path: Path, engine: Engine) -> None:
    ledger = MemoryLedger()
    key, id, digest = make_key()
    ledger.records[id] = KeyRecord(id, digest, "default", "", 0, None, 5000, 5000)
    fetcher = FakeFetcher()
    settings = {"data_dir": tmp_path, "jobs": {"answer_bytes": 10}}
    async with serving(settings, accounts=Accounts(AccountsConfig(), ledger), fetcher=fetcher) as served:
        headers = ONCE | {"X-Api-Key": key}
        for pages, status, balance in (({}, 422, 5000), ({URL: PHOTO}, 201, 4000)):
            fetcher.pages = pages
            answer = await served.http.post("/v1/cutouts", json={"image_url": URL}, headers=headers)
            assert (answer.status_code, ledger.records[id].balance) == (status, balance)


async def test_remove_bg_s_auto_made_again_is_what_it_was(tmp_path: Path) -> None:
    ledger = MemoryLedger()
    key = await account(ledger, credits=0.5)
    once = ONCE | {"X-Api-Key": key}
    files = {"image_file": photo(1000, 800)}
    settings = {"data_dir": tmp_path}
    async with serving(settings, accounts=Accounts(AccountsConfig(), ledger)) as served:
        sizes = []
        for _ in range(2):
            answer = await served.http.post(
                "/v1.0/removebg", files=files, data={"size": "auto"}, headers=once
            )
            assert answer.headers["x-credits-charged"] == "0"
            sizes.append(pixels(answer).shape)
            (id,) = ledger.records
            await ledger.grant(id, 10_000)
        assert sizes[0] == sizes[1]


CONTRACTS = [
    pytest.param("/v1.0/removebg", {"files": {"image_file": PHOTO}}, id="remove.bg"),
    pytest.param("/api/remove", {"files": {"file": PHOTO}}, id="rembg"),
    pytest.param("/", {"files": {"data": PHOTO}}, id="basnet-http"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "request_"), CONTRACTS)
async def test_other_contracts_in_their_own_shape(
    served: Served, engine: Engine, path: str, request_: dict[str, Any]
) -> None:
    first, again = [await served.http.post(path, **request_) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.content == first.content
    assert again.headers[REPLAYED] == "true"
    name = next(iter(request_["files"]))
    refused = await served.http.post(path, **request_ | {"files": {name: OTHER["image"][1]}})
    body = refused.json()
    assert refused.is_client_error
    members = {"/v1.0/removebg": "errors", "/api/remove": "detail", "/": "error"}
    assert members[path] in body
    assert "title" not in body
    assert "idempotency_mismatch" in refused.text


async def test_the_originals_contract_keeps_its_answers(served: Served, engine: Engine) -> None:
    first, again = [await served.http.post("/remove", data={"image_url": URL}) for _ in range(2)]
    assert first.json()["error"] is False
    assert again.content == first.content
    assert again.headers[REPLAYED] == "true"
    refused = await served.http.post("/remove", data={"image_url": URL, "to_remove": "foreground"})
    assert (refused.status_code, refused.json()["error_id"]) == (200, "001")
    assert engine.runs == 1


async def test_the_originals_failures_are_known_though_they_are_200(served: Served, engine: Engine) -> None:
    engine.fails = model_errors.InferenceFailed("x")
    assert (await served.http.post("/remove", data={"image_url": URL})).json()["error"] is True
    engine.fails = None
    answer = await served.http.post("/remove", data={"image_url": URL})
    assert (answer.json()["error"], REPLAYED in answer.headers) == (False, False)


async def test_without_the_database_nothing_is_done_twice(tmp_path: Path, engine: Engine) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    async with serving({"data_dir": tmp_path}, engine=engine, courier=ScriptedCourier()) as served:
        answer = await served.http.post("/v1/cutouts", files=FILE, headers=ONCE)
        assert (answer.status_code, answer.json()["code"]) == (503, "jobs_unavailable")
        assert engine.runs == 0
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201


async def test_a_repetition_over_the_limits_of_bodies(tmp_path: Path) -> None:
    async with serving({"data_dir": tmp_path, "limits": {"body_bytes": 20_000}}) as served:
        served.http.headers.update(ONCE)
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201
        answer = await served.http.post("/v1/cutouts", content=b"x" * 20_001)
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


class TestKeeping:
    @pytest.fixture
    async def database(self, tmp_path: Path) -> AsyncIterator[Database]:
        database = Database(tmp_path / "jobs.sqlite", 30)
        yield database
        await database.close()

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock(1_000_000.0)

    def answer(self, body: bytes = b"{}") -> Answer:
        return Answer("f", 201, [("location", "/é".encode().decode("latin-1"))], body)

    async def test_for_a_day(self, database: Database, clock: FakeClock) -> None:
        answers = KeptAnswers(database, JobsConfig(), clock)
        assert await answers.find("a", "k") is None
        await answers.keep("a", "k", self.answer())
        await answers.keep("a", "k", self.answer(b"second"))
        clock.now += 86_399
        assert await answers.find("a", "k") == self.answer()
        assert await answers.find("b", "k") is None
        clock.now += 1
        assert await answers.find("a", "k") is None
        await answers.keep("a", "k", self.answer(b"next"))
        assert await answers.find("a", "k") == self.answer(b"next")

    async def test_what_is_old_or_too_much_goes(self, database: Database, clock: FakeClock) -> None:
        answers = KeptAnswers(database, JobsConfig(answers_bytes=5000), clock)
        assert await answers.sweep() == 0
        await answers.keep("a", "old", self.answer())
        clock.now += 86_400
        for number in range(4):
            clock.now += 1
            await answers.keep("a", str(number), self.answer(b"x" * 1500))
        assert await answers.sweep() == 3
        left = [number for number in range(4) if await answers.find("a", str(number))]
        assert left == [2, 3]


async def test_a_client_of_any_origin_may_send_the_header(tmp_path: Path) -> None:
    async with serving({"data_dir": tmp_path, "cors_origins": ["https://shop.example"]}) as served:
        asked = {
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "idempotency-key, last-event-id",
        }
        answer: httpx.Response = await served.http.options("/v1/jobs", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        refused = await served.http.options("/v1/jobs", headers=asked | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
