"""GET and DELETE /v1/cutouts/{id}: links, facts, and names that are not ours."""

import json
import time

import httpx
import pytest

from api.accounts import Accounts, AccountsConfig
from api.errors import StoreFull, StoreUnavailable
from api.storage import MemoryStore, UrlSigner
from tests.api.routes.removebg.conftest import account
from tests.api.routes.sent import BYTES, FILE, URL, web
from tests.fakes import BASE_URL, FailingStore, FakeClock, MemoryLedger, memory_store
from tests.service import KEY, Served, serving


async def test_the_same_result_is_stored_once() -> None:
    async with serving(fetcher=web()) as served:
        first = (await served.http.post("/v1/cutouts", files=FILE)).json()
        again = (await served.http.post("/v1/cutouts", json={"image_url": URL})).json()
        other = (await served.http.post("/v1/cutouts", files=FILE, data={"output": "mask"})).json()
        assert first["id"] == again["id"] != other["id"]


async def test_a_cutout_is_its_makers_alone() -> None:
    """Links are shown around, and an id is in each of them."""
    ledger = MemoryLedger()
    mine, others = [{"X-Api-Key": await account(ledger, credits=10)} for _ in range(2)]
    accounts = Accounts(AccountsConfig(), ledger, secret=KEY)
    async with serving({"anonymous": False, "secret_access": KEY}, accounts=accounts) as served:
        made, twin = [
            (await served.http.post("/v1/cutouts", files=FILE, headers=key)).json() for key in (mine, others)
        ]
        assert made["id"] != twin["id"]
        path = f"/v1/cutouts/{made['id']}"
        for ask in (served.http.get, served.http.delete):
            answer = await ask(path, headers=others)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await served.http.get(path, headers={"X-Api-Key": KEY})).status_code == 200, "the operator"
        assert (await served.http.get(path, headers=mine)).status_code == 200
        assert (await served.http.delete(path, headers=mine)).status_code == 204
        assert (await served.http.get(made["url"])).status_code == 404
        assert (await served.http.get(twin["url"])).status_code == 200


async def test_the_store_is_asked_only_for_links() -> None:
    store = memory_store()
    async with serving(store=store) as served:
        await served.http.post("/v1/cutouts", files=FILE, headers=BYTES)
        answer = await served.http.post("/v1/cutouts", files=FILE)
        facts = json.loads(answer.text)
        assert facts["url"].startswith(f"{BASE_URL}/v1/cutouts/{facts['id']}?expires=")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(StoreUnavailable("x"), "storage_unavailable", id="unavailable"),
        pytest.param(StoreFull("x", retry_after=60), "storage_full", id="full"),
    ],
)
async def test_a_link_needs_the_store(error: Exception, code: str) -> None:
    async with serving(store=FailingStore(error)) as served:
        answer = await served.http.post("/v1/cutouts", files=FILE)
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) >= 1


class TestLinks:
    async def link(self, served: Served) -> httpx.URL:
        return httpx.URL((await served.http.post("/v1/cutouts", files=FILE)).json()["url"])

    async def test_bytes_are_served_harmlessly(self) -> None:
        async with serving({"anonymous": False, "secret_access": KEY}) as served:
            made = await served.http.post("/v1/cutouts", files=FILE, headers={"X-Api-Key": KEY})
            answer = await served.http.get(made.json()["url"])  # without the key
            name = made.json()["id"]
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
            assert answer.headers["content-disposition"] == f'inline; filename="{name}"'
            assert answer.headers["cache-control"].startswith("private, max-age=259")
            etag = answer.headers["etag"]
            again = await served.http.get(made.json()["url"], headers={"If-None-Match": etag})
            assert (again.status_code, again.content) == (304, b"")

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"signature": "A" * 43}, id="another signature"),
            pytest.param({"signature": ""}, id="no signature"),
            pytest.param({"expires": "99999999999"}, id="a later end"),
            pytest.param({"expires": "x"}, id="no number"),
            pytest.param({"expires": ""}, id="no end"),
        ],
    )
    async def test_altered_links_are_refused(self, change: dict[str, str]) -> None:
        async with serving() as served:
            answer = await served.http.get((await self.link(served)).copy_merge_params(change))
            assert (answer.status_code, answer.json()["code"]) == (403, "bad_signature")

    async def test_a_link_opens_nothing_else(self) -> None:
        async with serving() as served:
            link = await self.link(served)
            other = await served.http.post("/v1/cutouts", files=FILE, data={"output": "alpha"})
            answer = await served.http.get(link.copy_with(path=other.headers["location"]))
            assert answer.status_code == 403

    async def test_links_end(self) -> None:
        clock = FakeClock(time.time())
        store = MemoryStore(UrlSigner([b"k" * 32], BASE_URL, clock=clock), ttl_seconds=60, clock=clock)
        async with serving(store=store) as served:
            link = await self.link(served)
            clock.now += 59
            assert (await served.http.get(link)).status_code == 200
            clock.now += 2
            assert (await served.http.get(link)).status_code == 403
            assert (await served.http.get(link.path)).status_code == 404

    async def test_a_link_to_what_is_gone(self) -> None:
        async with serving() as served:
            link = await self.link(served)
            etag = (await served.http.get(link)).headers["etag"]
            assert (await served.http.delete(link.path)).status_code == 204
            for headers in ({}, {"If-None-Match": etag}):
                assert (await served.http.get(link, headers=headers)).status_code == 404


async def test_facts_and_a_fresh_link() -> None:
    async with serving() as served:
        made = (await served.http.post("/v1/cutouts", files=FILE)).json()
        found = await served.http.get(f"/v1/cutouts/{made['id']}")
        assert found.status_code == 200
        assert found.json() | {"url": 0, "expires_at": 0} == made | {
            "url": 0,
            "expires_at": 0,
            "timings_ms": None,
        }
        assert (await served.http.get(found.json()["url"])).status_code == 200
        deleted = await served.http.delete(f"/v1/cutouts/{made['id']}")
        assert (deleted.status_code, deleted.content) == (204, b"")
        for method in ("GET", "DELETE"):
            gone = await served.http.request(method, f"/v1/cutouts/{made['id']}")
            assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("..%2f..%2fetc%2fpasswd", id="dots and slashes"),
        pytest.param("%2e%2e", id="two dots"),
        pytest.param("%00.png", id="NUL"),
        pytest.param("%2fetc%2fpasswd", id="absolute"),
        pytest.param("A" * 32 + ".png", id="upper case"),
        pytest.param("0" * 32 + ".png%0a", id="line break"),
        pytest.param("0" * 5000, id="long"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_hostile_names_are_not_found(method: str, name: str) -> None:
    async with serving() as served:
        answer = await served.http.request(method, f"/v1/cutouts/{name}")
        assert (answer.status_code, answer.json()["code"]) in {
            (404, "not_found"),
            (405, "method_not_allowed"),
        }


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        pytest.param(59, 400, id="too short"),
        pytest.param(60, 201, id="a minute"),
        pytest.param(3 * 86_400, 201, id="the store's own"),
        pytest.param(3 * 86_400 + 1, 400, id="longer than the store's own"),
        pytest.param("soon", 400, id="no number"),
    ],
)
async def test_a_result_may_end_sooner(seconds: int | str, status: int) -> None:
    async with serving() as served:
        answer = await served.http.post("/v1/cutouts", files=FILE, data={"expires_in": seconds})
        assert answer.status_code == status, answer.text
        if answer.is_success:
            expires = int(httpx.URL(answer.json()["url"]).params["expires"])
            assert abs(expires - time.time() - int(seconds)) < 5
        else:
            assert "expires_in" in answer.json()["detail"]


async def test_results_of_other_lives_are_other_objects() -> None:
    async with serving() as served:
        made = [
            (await served.http.post("/v1/cutouts", files=FILE, data=data)).json()
            for data in ({}, {"expires_in": 60}, {"expires_in": 61}, {"expires_in": 60})
        ]
        ids = [cutout["id"] for cutout in made]
        assert len(set(ids[:3])) == 3
        assert ids[3] == ids[1]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(BYTES, 200, id="bytes"),
        pytest.param({"Accept": "application/zip"}, 200, id="a ZIP"),
        pytest.param({}, 422, id="a link"),
    ],
)
async def test_nothing_is_stored_when_that_is_asked_for(headers: dict[str, str], status: int) -> None:
    store = memory_store()
    async with serving(store=store) as served:
        answer = await served.http.post("/v1/cutouts", files=FILE, data={"store": "false"}, headers=headers)
        assert answer.status_code == status
        if status == 422:
            assert answer.json()["code"] == "link_unstorable"
        assert not store._entries
