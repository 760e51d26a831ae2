"""HEAD, strange methods, and failures that pages of other origins may read."""

from typing import Any

import pytest

from tests.fakes import photo
from tests.service import serving

FILE = {"image": ("a.jpg", photo())}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/", 200, id="the page"),
        pytest.param("/healthz", 200, id="health"),
        pytest.param("/readyz", 200, id="readiness"),
        pytest.param("/v1/models", 200, id="models"),
        pytest.param("/openapi.json", 200, id="the document"),
        pytest.param("/nothing", 404, id="no route"),
        pytest.param("/v1/cutouts", 405, id="a route without GET"),
    ],
)
async def test_head_is_get_without_the_body(path: str, status: int) -> None:
    async with serving() as served:
        got, told = await served.http.get(path), await served.http.head(path)
        assert (got.status_code, told.status_code) == (status, status)
        assert got.content
        assert told.content == b""
        headers = [
            {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
            for answer in (got, told)
        ]
        assert headers[0] == headers[1]


async def test_head_of_a_link() -> None:
    async with serving() as served:
        made = (await served.http.post("/v1/cutouts", files=FILE)).json()
        told = await served.http.head(made["url"])
        assert (told.status_code, told.headers["content-length"]) == (200, str(made["size"]))
        assert served.metric("requests_total", method="HEAD", route="/v1/cutouts/{id}", status="200") == 1


async def test_strangers_make_no_new_labels() -> None:
    async with serving() as served:
        for method in ("BREW", "A" * 500):
            assert (await served.http.request(method, "/healthz")).status_code == 405
        assert served.metric("requests_total", method="-", route="/healthz", status="405") == 2
        assert "BREW" not in served.service.metrics.text().decode()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param({"files": FILE}, 201, id="success"),
        pytest.param({"json": {}}, 400, id="bad options"),
        pytest.param({"content": b"x" * 60_000}, 413, id="too large"),
    ],
)
async def test_a_page_that_may_call_us_may_read_our_failures(request_: dict[str, Any], status: int) -> None:
    async with serving(
        {"cors_origins": ["https://shop.example"], "limits": {"body_bytes": 50_000}}
    ) as served:
        served.http.headers["Origin"] = "https://shop.example"
        answer = await served.http.post("/v1/cutouts", **request_)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
