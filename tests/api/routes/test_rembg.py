"""rembg's contract: its parameters and defaults, its answers, and what must not come in by them."""

from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from api.errors import SourceForbidden, SourceTimeout, SourceUnreachable
from api.routes.rembg import MODELS, REFUSED, RembgRequest, network_of
from api.source.fetch import FetchConfig, HttpFetcher
from model.deadline import Deadline
from model.errors import InferenceFailed, ModelUnavailable, Overloaded
from model.registry import REGISTRY
from postprocess.types import RGB, Alpha
from tests.api.routes.sent import PHOTO, URL, pixels, web
from tests.fakes import FakeEngine, FakeFetcher
from tests.service import KEY, Served, serving

FILE = {"file": ("a.jpg", PHOTO, "image/jpeg")}


async def post(served: Served, data: dict[str, str] | None = None, **query: str) -> NDArray[np.uint8]:
    answer = await served.http.post("/api/remove", files=FILE, data=data or {}, params=query)
    assert answer.headers["content-type"] == "image/png", answer.text
    return pixels(answer)


async def get(served: Served, **query: str) -> httpx.Response:
    return await served.http.get("/api/remove", params={"url": URL} | query)


def test_the_defaults_are_rembgs() -> None:
    assert RembgRequest().model_dump() == {
        "model": "u2net",
        "a": False,
        "af": 240,
        "ab": 10,
        "ae": 10,
        "om": False,
        "ppm": False,
        "bgc": None,
        "extras": None,
    }


async def test_by_url_and_by_file_are_the_same_picture() -> None:
    async with serving(fetcher=web()) as served:
        by_url = await get(served)
        assert by_url.headers["content-type"] == "image/png"
        assert by_url.headers["x-cutout-model"] == "lite"
        cutout = pixels(by_url)
        assert np.array_equal(cutout, await post(served))
        assert cutout.shape == (64, 96, 4)
        assert (cutout[32, 48, 3], cutout[0, 0].tolist()) == (255, [0, 0, 0, 0])
        assert ((cutout[..., 3] > 0) & (cutout[..., 3] < 255)).any()
        served.assert_at_rest()


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
async def test_what_a_get_says_of_its_body_means_nothing(kind: str) -> None:
    async with serving(fetcher=web()) as served:
        for query, status in (({"url": URL}, 200), ({}, 422)):
            answer = await served.http.request(
                "GET", "/api/remove", params=query, content=b'{"url": 5}', headers={"Content-Type": kind}
            )
            assert answer.status_code == status, answer.text
        served.assert_at_rest()


async def test_only_the_mask() -> None:
    async with serving() as served:
        mask = await post(served, {"om": "true"}, bgc="1,2,3,255")
        assert mask.shape == (64, 96)
        assert np.array_equal(mask, (await post(served))[..., 3])


@pytest.mark.parametrize(
    ("colour", "corner"),
    [
        pytest.param("255,0,0,255", [0, 0, 255], id="opaque"),
        pytest.param(" 0, 0, 255, 128", [255, 0, 0, 128], id="half, with spaces"),
        pytest.param("9,9,9,0", [0, 0, 0, 0], id="transparent"),
    ],
)
@pytest.mark.parametrize("where", ["query", "form"])
async def test_background_colour(colour: str, corner: list[int], where: str) -> None:
    async with serving() as served:
        image = await (post(served, bgc=colour) if where == "query" else post(served, {"bgc": colour}))
        assert image[0, 0].tolist() == corner


async def test_post_processing_makes_the_edge_hard() -> None:
    async with serving() as served:
        assert set(np.unique((await post(served, {"ppm": "1"}))[..., 3])) == {0, 255}


async def test_alpha_matting_decides_the_band_alone() -> None:
    async with serving() as served:
        plain = (await post(served, {"om": "1"})).astype(int)
        matted = (await post(served, {"om": "1", "a": "true", "ae": "3"})).astype(int)
        assert matted[32, 48] == 255
        assert matted[0, 0] == 0
        assert not np.array_equal(plain, matted)
        wide = (await post(served, {"om": "1", "a": "true", "af": "0", "ab": "1", "ae": "0"})).astype(int)
        assert np.array_equal(wide, (plain > 0) * 255)  # nothing is unknown


async def test_putalpha_keeps_the_photos_colours() -> None:
    photo = np.asarray(cv2.imdecode(np.frombuffer(PHOTO, np.uint8), cv2.IMREAD_COLOR))
    async with serving() as served:
        kept = await post(served, extras='{"putalpha": true}')
        clean = await post(served)
        seen = kept[..., 3] > 0
        assert np.array_equal(kept[seen][:, :3], photo[seen])
        assert not np.array_equal(clean[seen][:, :3], photo[seen])


@pytest.mark.parametrize(
    ("form", "query", "place"),
    [
        pytest.param({"af": "256"}, {}, ["body", "af"], id="af over 255"),
        pytest.param({"ab": "-1"}, {}, ["body", "ab"], id="ab below 0"),
        pytest.param({"ae": "-1"}, {}, ["body", "ae"], id="ae below 0"),
        pytest.param({"ae": "1000000000"}, {}, ["body", "ae"], id="ae that would never end"),
        pytest.param({"a": "perhaps"}, {}, ["body", "a"], id="a is no bool"),
        pytest.param({}, {"bgc": "red"}, ["query", "bgc"], id="bgc is no list"),
        pytest.param({}, {"bgc": "1,2,3"}, ["query", "bgc"], id="bgc of three"),
        pytest.param({}, {"bgc": "1,2,3,256"}, ["query", "bgc"], id="bgc over 255"),
        pytest.param({}, {"extras": "{"}, ["query", "extras"], id="extras are no JSON"),
        pytest.param({}, {"extras": "[1]"}, ["query", "extras"], id="extras are no object"),
        pytest.param({}, {"extras": '{"session": 1}'}, ["query", "extras"], id="extras that clash"),
        pytest.param({}, {"extras": '{"model_path": "/etc/passwd"}'}, ["query", "extras"], id="a path"),
        pytest.param({"model": "xu2net"}, {}, ["body", "model"], id="a model that only ends like one"),
        pytest.param({"model": "../u2net"}, {}, ["body", "model"], id="a model that is a path"),
        pytest.param({"model": "sam"}, {}, ["body", "model"], id="a model that is refused"),
    ],
)
async def test_bad_parameters_are_422(form: dict[str, str], query: dict[str, str], place: list[str]) -> None:
    async with serving() as served:
        answer = await served.http.post("/api/remove", files=FILE, data=form, params=query)
        assert answer.status_code == 422, answer.text
        findings = answer.json()["detail"]
        assert findings[0]["loc"][:2] == place
        assert all(set(each) == {"type", "loc", "msg"} for each in findings)
        assert served.service.engine.seen == []  # type: ignore[attr-defined]
        served.assert_at_rest()


@pytest.mark.parametrize(("method", "loc"), [("GET", ["query", "url"]), ("POST", ["body", "file"])])
async def test_a_missing_picture_is_422_as_fastapi_has_it(method: str, loc: list[str]) -> None:
    async with serving() as served:
        answer = await served.http.request(method, "/api/remove")
        assert (answer.status_code, answer.json()["detail"]) == (
            422,
            [{"type": "missing", "loc": loc, "msg": "Field required"}],
        )


async def test_every_finding_is_told_at_once() -> None:
    async with serving() as served:
        answer = await served.http.get("/api/remove", params={"af": "x", "ab": "y"})
        assert [each["loc"][-1] for each in answer.json()["detail"]] == ["url", "af", "ab"]


@pytest.mark.parametrize(
    "error", [SourceForbidden("10.0.0.1"), SourceUnreachable("404"), SourceTimeout("slow")], ids=repr
)
async def test_a_url_that_leads_nowhere_is_400(error: Exception) -> None:
    async with serving(fetcher=FakeFetcher({URL: error})) as served:
        answer = await get(served)
        assert answer.status_code == 400
        assert isinstance(answer.json()["detail"], str)
        assert str(error) not in answer.text
        assert served.metric("errors_total", code=error.code) == 1  # type: ignore[attr-defined]
        served.assert_at_rest()


@pytest.mark.parametrize(
    "host",
    ["100.100.100.200", "192.0.0.192", "168.63.129.16", "192.88.99.1", "[fec0::1]", "[2002:7f00:1::]"],
)
async def test_the_addresses_that_pass_rembgs_own_guard_do_not_pass_ours(host: str) -> None:
    async with serving(fetcher=HttpFetcher(FetchConfig())) as served:
        answer = await served.http.get("/api/remove", params={"url": f"http://{host}/a.jpg"})
        assert (answer.status_code, answer.json()["code"]) == (400, "source_forbidden")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(b"<html>", "unsupported_image", id="a page"),
        pytest.param(PHOTO[:200], "corrupt_image", id="half a picture"),
    ],
)
async def test_a_file_that_is_no_picture_is_400(data: bytes, code: str) -> None:
    async with serving() as served:
        answer = await served.http.post("/api/remove", files={"file": ("a.jpg", data)})
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert isinstance(answer.json()["detail"], str)


class OnlyLite(FakeEngine):
    """An engine that says of every other model how it could be had."""

    async def matte(
        self, rgb: RGB, *, model: str, resolution: int | None = None, deadline: Deadline
    ) -> Alpha:
        if model != "lite":
            raise ModelUnavailable(f"run `objectcut models pull {model}`")
        return await super().matte(rgb, model=model, deadline=deadline)


async def test_a_model_that_is_not_loaded_names_the_command() -> None:
    async with serving(engine=OnlyLite()) as served:
        answer = await served.http.post("/api/remove", files=FILE, data={"model": "isnet-general-use"})
        assert answer.status_code == 503
        assert "objectcut models pull birefnet-lite" in answer.json()["detail"]
        assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("error", "status"),
    [(Overloaded(retry_after=3), 429), (InferenceFailed("x"), 500), (ZeroDivisionError(), 500)],
    ids=repr,
)
async def test_our_own_failures_keep_their_status(error: Exception, status: int) -> None:
    async with serving(engine=FakeEngine(fails=error)) as served:
        answer = await served.http.post("/api/remove", files=FILE)
        assert answer.status_code == status
        assert ("retry-after" in answer.headers) is (status == 429)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        served.assert_at_rest()


async def test_a_key_is_wanted_where_there_is_one() -> None:
    async with serving({"anonymous": False, "secret_access": KEY}) as served:
        refused = await served.http.post("/api/remove", files=FILE)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert isinstance(refused.json()["detail"], str)
        let_in = await served.http.post("/api/remove", files=FILE, headers={"X-Api-Key": KEY})
        assert let_in.status_code == 200


async def test_an_upload_over_the_limit_is_413() -> None:
    async with serving({"limits": {"body_bytes": 1000}}) as served:
        answer = await served.http.post("/api/remove", files={"file": ("a.jpg", b"x" * 2000)})
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("name", sorted({*MODELS, *REGISTRY}))
def test_every_name_leads_to_a_network_of_the_registry(name: str) -> None:
    assert network_of(name, REGISTRY) in REGISTRY


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_refused_says_why(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not offered: \w+"):
        network_of(name, REGISTRY)


async def test_the_document_tells_the_parameters() -> None:
    async with serving() as served:
        paths: dict[str, Any] = (await served.http.get("/openapi.json")).json()["paths"]
        wanted = {"X-Timeout", "url", *RembgRequest.model_fields}
        assert {each["name"] for each in paths["/api/remove"]["get"]["parameters"]} == wanted
        post = paths["/api/remove"]["post"]
        form = post["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
        beside = {each["name"] for each in post["parameters"]}
        assert beside == {"X-Timeout", "Idempotency-Key", "bgc", "extras"}
        assert beside | form.keys() == (wanted - {"url"}) | {"file", "Idempotency-Key"}
