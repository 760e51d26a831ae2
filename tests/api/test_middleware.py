"""HEAD, strange methods, and failures that pages of other origins may read."""

from typing import Any

import pytest

from tests.api.routes.sent import web
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


@pytest.mark.parametrize("path", ["/api/remove?url=https://img.example/a.jpg", "/v1/rooms/x/cutouts/1"])
async def test_head_does_nothing_that_get_would_do(path: str) -> None:
    fetcher = web()
    async with serving(fetcher=fetcher) as served:
        assert (await served.http.head(path)).status_code == 405
        assert fetcher.asked == []
        served.assert_at_rest()


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


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        pytest.param("GET", "/", 200, id="the page"),
        pytest.param("GET", "/page.js", 200, id="its script"),
        pytest.param("GET", "/docs", 200, id="the reference"),
        pytest.param("GET", "/errors", 200, id="the codes"),
        pytest.param("GET", "/healthz", 200, id="JSON"),
        pytest.param("GET", "/metrics", 200, id="metrics"),
        pytest.param("GET", "/openapi.json", 200, id="the document"),
        pytest.param("POST", "/remove", 200, id="another contract"),
        pytest.param("GET", "/nothing", 404, id="no route"),
        pytest.param("GET", "/v1/jobs/nothing", 404, id="no job"),
        pytest.param("GET", "/v1/webhook-secret", 200, id="a secret"),
        pytest.param("DELETE", "/healthz", 405, id="no method"),
        pytest.param("OPTIONS", "/v1/cutouts", 200, id="preflight"),
    ],
)
async def test_every_answer_is_safe_in_a_browser(method: str, path: str, status: int) -> None:
    asking = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    async with serving({"cors_origins": ["https://shop.example"]}) as served:
        answer = await served.http.request(method, path, headers=asking)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in answer.headers


async def test_stored_bytes_stay_in_their_sandbox() -> None:
    async with serving() as served:
        made = (await served.http.post("/v1/cutouts", files=FILE)).json()
        answer = await served.http.get(made["url"])
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("origin", "asked", "status"),
    [
        pytest.param("https://shop.example", "x-api-key, content-type, idempotency-key", 200, id="ours"),
        pytest.param("https://shop.example", "x-rapidapi-proxy-secret", 400, id="a header for proxies"),
        pytest.param("https://evil.example", "content-type", 400, id="another origin"),
        pytest.param("https://shop.example.evil.example", "content-type", 400, id="a longer name"),
        pytest.param("http://shop.example", "content-type", 400, id="another scheme"),
        pytest.param("null", "content-type", 400, id="no origin"),
    ],
)
async def test_preflights(origin: str, asked: str, status: int) -> None:
    async with serving({"cors_origins": ["https://shop.example"]}) as served:
        answer = await served.http.options(
            "/v1/cutouts",
            headers={
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": asked,
            },
        )
        assert answer.status_code == status
        allowed = answer.headers.get("access-control-allow-origin")
        assert allowed == ("https://shop.example" if origin == "https://shop.example" else None)
        assert "access-control-allow-credentials" not in answer.headers
