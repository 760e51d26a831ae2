"""OBJECT CUT's contract: its own seven cases over a real fetcher, and the mapping of every error."""

import base64
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from api.errors import (
    CorruptImage,
    Draining,
    ImageTooLarge,
    InvalidOptions,
    ObjectCutError,
    Overloaded,
    SourceForbidden,
    SourceTimeout,
    SourceUnreachable,
    StoreUnavailable,
    UnsupportedImage,
)
from api.routes.objectcut import MESSAGES
from api.source.fetch import FetchConfig, HttpFetcher
from model.errors import InferenceFailed
from tests.fakes import FailingStore, FakeEngine, FakeFetcher, photo
from tests.origin import PUBLIC, FakeDNS, ScriptedOrigin, reply
from tests.service import KEY, Served, serving

RAVEN = photo(108, 135)
PERSON = photo(108, 135)
ANIMAL = photo(410, 305)
BIG = photo(2600, 400)
RAVEN_URL = "http://objectcut.example/assets/img/raven.jpg"


@dataclass
class Client:
    """Asks as the original's tests did, and checks what they checked."""

    served: Served

    async def remove(self, form: dict[str, str], *, secret: str | None = KEY) -> dict[str, Any]:
        headers = {"Host": "api.objectcut.com"} | ({"X-Secret-Access": secret} if secret else {})
        answer = await self.served.http.post("/remove", data=form, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        body: dict[str, Any] = answer.json()
        assert uuid.UUID(body["correlation_id"]).version == 4
        assert isinstance(body["error"], bool)
        return body

    async def picture(self, form: dict[str, str]) -> NDArray[np.uint8]:
        body = await self.remove(form)
        assert set(body) == {"correlation_id", "error", "response"}, body
        assert body["error"] is False
        wanted = "image_base64" if form.get("output_format") == "base64" else "image_url"
        assert set(body["response"]) == {wanted}
        if wanted == "image_url":
            data = (await self.served.http.get(body["response"]["image_url"])).content
        else:
            data = base64.b64decode(body["response"]["image_base64"], validate=True)
        assert data.startswith(b"\x89PNG")
        return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)

    async def error(self, form: dict[str, str], *, secret: str | None = KEY) -> str:
        body = await self.remove(form, secret=secret)
        assert set(body) == {"correlation_id", "error", "error_id", "message"}, body
        assert body["error"] is True
        assert body["message"] == MESSAGES[body["error_id"]]
        return str(body["error_id"])


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """The service over a real fetcher whose network ends at an origin in this process."""
    async with ScriptedOrigin({"/assets/img/raven.jpg": reply(RAVEN), "/page": reply(b"<html>")}) as origin:
        dns = FakeDNS({"objectcut.example": [[PUBLIC]]})
        fetcher = HttpFetcher(FetchConfig(), resolve=dns, network=origin.network())
        async with serving({"anonymous": False, "secret_access": KEY}, fetcher=fetcher) as served:
            yield Client(served)


class TestTheOriginalsOwnCases:
    async def test_image_url_background_transparent(self, client: Client) -> None:
        image = await client.picture({"image_url": RAVEN_URL})
        assert image.shape == (135, 108, 4)
        assert image[67, 54, 3] == 255
        assert image[0, 0].tolist() == [255, 255, 255, 0], "white for those who drop the alpha"

    async def test_image_url_foreground_transparent(self, client: Client) -> None:
        image = await client.picture({"image_url": RAVEN_URL, "to_remove": "foreground"})
        assert (image[67, 54, 3], image[0, 0, 3]) == (0, 255)

    async def test_base64_background_white(self, client: Client) -> None:
        form = {"image_base64": text(PERSON), "output_format": "base64", "color_removal": "white"}
        image = await client.picture(form)
        assert image.shape == (135, 108, 3)
        assert image[0, 0].tolist() == [255, 255, 255]

    async def test_base64_background_big_image(self, client: Client) -> None:
        image = await client.picture({"image_base64": text(ANIMAL), "output_format": "base64"})
        assert image.shape == (305, 410, 4)

    async def test_error_unauthorized(self, client: Client) -> None:
        assert await client.error({"image_url": RAVEN_URL}, secret=None) == "003"

    async def test_error_wrong_image_url(self, client: Client) -> None:
        assert await client.error({"image_url": "http://objectcut.example/not-existing.jpg"}) == "002"

    async def test_error_wrong_image_base64(self, client: Client) -> None:
        assert await client.error({"image_base64": "not-a-base64"}) == "002"


async def test_a_longer_side_than_2500_px_is_not_resampled(client: Client) -> None:
    assert (await client.picture({"image_base64": text(BIG), "output_format": "base64"})).shape[1] == 2600


@pytest.mark.parametrize(
    ("form", "error_id"),
    [
        pytest.param({}, "003", id="no source"),
        pytest.param({"image_url": "", "image_base64": ""}, "003", id="two empty sources"),
        pytest.param({"image_url": RAVEN_URL, "image_base64": text(RAVEN)}, "003", id="two sources"),
        pytest.param({"image_url": "http://objectcut.example/page"}, "001", id="a URL of a page"),
        pytest.param({"image_url": "not a URL"}, "002", id="no URL"),
        pytest.param({"image_url": "ftp://objectcut.example/a"}, "002", id="another scheme"),
        pytest.param({"image_url": "http://127.0.0.1/a.jpg"}, "002", id="a forbidden address"),
        pytest.param({"image_base64": text(RAVEN[:200])}, "002", id="half a picture"),
        pytest.param({"image_base64": "é"}, "002", id="not ASCII"),
        pytest.param({"image_base64": text(b"<svg/>")}, "002", id="no picture"),
    ],
)
async def test_errors_keep_their_ids(client: Client, form: dict[str, str], error_id: str) -> None:
    assert await client.error(form) == error_id
    client.served.assert_at_rest()


@pytest.mark.parametrize("secret", [pytest.param("wrong", id="wrong"), pytest.param(KEY + "x", id="longer")])
async def test_a_wrong_secret(client: Client, secret: str) -> None:
    assert await client.error({"image_url": RAVEN_URL}, secret=secret) == "003"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param({"image_base64": f"data:image/jpeg;base64,{text(RAVEN)}"}, id="data: prefix"),
        pytest.param({"image_base64": "\n".join([text(RAVEN)[:60], text(RAVEN)[60:]])}, id="line breaks"),
        pytest.param({"image_base64": text(RAVEN), "size": "auto"}, id="an unknown field"),
    ],
)
async def test_what_is_taken_all_the_same(client: Client, form: dict[str, str]) -> None:
    assert (await client.picture(form)).shape == (135, 108, 4)


async def test_a_multipart_form_is_a_form(client: Client) -> None:
    answer = await client.served.http.post(
        "/remove", files={"image_base64": (None, text(RAVEN))}, headers={"X-Secret-Access": KEY}
    )
    assert answer.json()["error"] is False


async def test_json_is_not(client: Client) -> None:
    answer = await client.served.http.post(
        "/remove", json={"image_url": RAVEN_URL}, headers={"X-Secret-Access": KEY}
    )
    assert (answer.status_code, answer.json()["error_id"]) == (200, "003")


@pytest.mark.parametrize(
    ("field", "value", "detail"),
    [
        pytest.param("output_format", "gif", "'gif' is not one of ['url', 'base64'] - 'output_format'"),
        pytest.param("to_remove", "sky", "'sky' is not one of ['background', 'foreground'] - 'to_remove'"),
        pytest.param(
            "color_removal", "red", "'red' is not one of ['transparent', 'white'] - 'color_removal'"
        ),
    ],
)
async def test_values_outside_of_an_enumeration(client: Client, field: str, value: str, detail: str) -> None:
    answer = await client.served.http.post(
        "/remove", data={"image_url": RAVEN_URL, field: value}, headers={"X-Secret-Access": KEY}
    )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {"detail": detail, "status": 400, "title": "Bad Request", "type": "about:blank"}


@pytest.mark.parametrize(
    ("error", "by_url", "by_base64"),
    [
        pytest.param(SourceUnreachable(), "002", None, id="unreachable"),
        pytest.param(SourceTimeout(), "002", None, id="slow origin"),
        pytest.param(SourceForbidden(), "002", None, id="forbidden"),
        pytest.param(InvalidOptions(), "002", None, id="no URL"),
        pytest.param(UnsupportedImage(), "001", "002", id="no image"),
        pytest.param(CorruptImage(), "001", "002", id="damaged"),
        pytest.param(ImageTooLarge(), "001", "002", id="too many pixels"),
        pytest.param(InferenceFailed("x"), "001", "001", id="inference failed"),
        pytest.param(Overloaded(), "001", "001", id="overloaded"),
        pytest.param(Draining(), "001", "001", id="draining"),
        pytest.param(ObjectCutError(), "001", "001", id="a bug"),
        pytest.param(ZeroDivisionError(), "001", "001", id="a worse bug"),
    ],
)
async def test_every_failure_has_an_id(error: Exception, by_url: str, by_base64: str | None) -> None:
    async with serving(fetcher=FakeFetcher({RAVEN_URL: error}), engine=FakeEngine(fails=error)) as served:
        client = Client(served)
        assert await client.error({"image_url": RAVEN_URL}, secret=None) == by_url
        if by_base64:
            assert await client.error({"image_base64": text(RAVEN)}, secret=None) == by_base64
        served.assert_at_rest()


async def test_a_failed_upload_is_unspecified() -> None:
    async with serving(store=FailingStore(StoreUnavailable())) as served:
        assert await Client(served).error({"image_base64": text(RAVEN)}, secret=None) == "001"


async def test_failures_are_counted_though_they_are_200() -> None:
    async with serving() as served:
        await Client(served).error({}, secret=None)
        assert served.metric("errors_total", code="invalid_options") == 1
        assert served.metric("requests_total", method="POST", route="/remove", status="200") == 1


async def test_an_upload_over_the_limit() -> None:
    async with serving({"limits": {"body_bytes": 1000}}) as served:
        assert await Client(served).error({"image_base64": "A" * 2000}, secret=None) == "001"


async def test_still_alive() -> None:
    async with serving() as served:
        answer: httpx.Response = await served.http.get("/stillalive")
        assert (answer.status_code, answer.json()) == (200, {"message": "API is hella working!"})
