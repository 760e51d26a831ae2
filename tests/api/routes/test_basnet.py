"""The contract of basnet-http: `data` in, a mask out."""

import cv2
import numpy as np
import pytest

from model.errors import Overloaded
from tests.api.routes.sent import PHOTO, pixels
from tests.fakes import FakeEngine, photo
from tests.service import KEY, serving

MISSING = "missing file param `data`"
DATA = {"data": ("test.jpg", PHOTO, "image/jpeg")}


async def test_the_mask_has_the_photos_size_and_a_soft_edge() -> None:
    async with serving() as served:
        answer = await served.http.post("/", files=DATA)
        assert answer.headers["content-type"] == "image/png"
        mask = pixels(answer)
        assert mask.shape == (64, 96)
        assert (mask[32, 48], mask[0, 0]) == (255, 0)
        assert ((mask > 0) & (mask < 255)).any()
        served.assert_at_rest()


@pytest.mark.parametrize("where", ["query", "form"])
async def test_the_size_that_basnet_http_answered(where: str) -> None:
    wish = {"legacy_size": "256"}
    async with serving() as served:
        mask = pixels(
            await served.http.post("/", files=DATA, params=wish)
            if where == "query"
            else await served.http.post("/", files=DATA, data=wish)
        )
        assert mask.shape == (256, 256, 3)
        assert (mask == mask[..., :1]).all()
        assert (mask[128, 128, 0], mask[0, 0, 0]) == (255, 0)


async def test_a_transparent_source_at_the_legacy_size() -> None:
    bgra = np.zeros((40, 60, 4), np.uint8)
    bgra[..., 3] = 128
    data = cv2.imencode(".png", bgra)[1].tobytes()
    async with serving() as served:
        mask = pixels(await served.http.post("/?legacy_size=256", files={"data": ("a.png", data)}))
        assert mask.shape == (256, 256, 3)
        assert mask[128, 128, 0] == 128


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        pytest.param({"data": {"x": "1"}}, 400, MISSING, id="no file at all"),
        pytest.param({"files": {"image": ("a.jpg", PHOTO)}}, 400, MISSING, id="under another name"),
        pytest.param({"files": {"data": ("a.jpg", b"")}}, 400, "empty image", id="without a byte"),
        pytest.param(
            {"files": DATA, "params": {"legacy_size": "0"}},
            400,
            "legacy_size: Input should be greater than or equal to 1",
            id="a size of nothing",
        ),
        pytest.param(
            {"files": DATA, "data": {"model": "../\U0001f600"}},
            400,
            "model: must be one of lite",
            id="no such model",
        ),
        pytest.param(
            {"files": {"data": ("a.jpg", b"<html>")}},
            415,
            "This is not an image format that we read. We read JPEG, PNG, WEBP.",
            id="no picture",
        ),
    ],
)
async def test_failures_have_its_shape(request_: dict[str, object], status: int, text: str) -> None:
    async with serving() as served:
        answer = await served.http.post("/", **request_)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]) == (status, text)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        served.assert_at_rest()


async def test_a_full_queue() -> None:
    async with serving(engine=FakeEngine(fails=Overloaded(retry_after=3))) as served:
        answer = await served.http.post("/", files=DATA)
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)


async def test_a_key_is_wanted_where_there_is_one() -> None:
    async with serving({"anonymous": False, "secret_access": KEY}) as served:
        assert (await served.http.post("/", files=DATA)).status_code == 401
        assert (await served.http.post("/", files=DATA, headers={"X-Api-Key": KEY})).status_code == 200


async def test_the_page_is_still_there() -> None:
    async with serving() as served:
        page = await served.http.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert served.metric("requests_total", method="GET", route="/", status="200") == 1


async def test_photos_of_any_shape() -> None:
    async with serving() as served:
        answer = await served.http.post("/", files={"data": ("a.jpg", photo(31, 57))})
        assert pixels(answer).shape == (57, 31)
