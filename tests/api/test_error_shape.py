"""The contract of failures, for every way to fail.

Whatever the status: `application/problem+json` with exactly `type`, `title`, `status`, `code`, `detail`,
`request_id` and a non-empty `errors`, `Cache-Control: no-store`, the request's id also as X-Request-Id,
`nosniff`, and Retry-After on 429 and 503. After it nothing is held, one line is logged, and the next good
request succeeds.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest

from api import errors
from model import errors as model_errors
from tests.fakes import FailingStore, FakeEngine, FakeFetcher, memory_store, photo
from tests.service import KEY, serving

FILE = {"image": ("a.jpg", photo())}
URL = "https://img.example/a.jpg"


@dataclass
class Way:
    """One way to fail. page, engine, store: what fails behind the request."""

    status: int
    code: str
    method: str = "POST"
    path: str = "/v1/cutouts"
    request: dict[str, Any] = field(default_factory=lambda: {"files": FILE})
    page: Exception | None = None
    engine: Exception | None = None
    store: Exception | None = None


def by_url(error: errors.ObjectCutError) -> Any:
    way = Way(error.status, error.code, request={"json": {"image_url": URL}}, page=error)
    return pytest.param(way, id=error.code)


def by_engine(error: Exception, status: int, code: str) -> Any:
    return pytest.param(Way(status, code, engine=error), id=f"engine: {type(error).__name__}")


WAYS = [
    pytest.param(Way(400, "invalid_options", request={"json": {}}), id="400"),
    pytest.param(Way(401, "unauthorized", request={"headers": {"X-Api-Key": "no"}}), id="401"),
    pytest.param(
        Way(403, "bad_signature", "GET", f"/v1/cutouts/{'0' * 32}.png?expires=1&signature=x"), id="403"
    ),
    pytest.param(Way(404, "not_found", "GET", "/nowhere"), id="404 route"),
    pytest.param(Way(404, "not_found", "GET", f"/v1/cutouts/{'0' * 32}.png"), id="404 cutout"),
    pytest.param(Way(404, "not_found", "GET", "/v1/cutouts/"), id="404 slash"),
    pytest.param(Way(405, "method_not_allowed", "PUT"), id="405"),
    pytest.param(Way(413, "payload_too_large", request={"content": b"x" * 60_000}), id="413"),
    pytest.param(
        Way(415, "unsupported_image", request={"content": b"x", "headers": {"Content-Type": "text/x"}}),
        id="415 request",
    ),
    pytest.param(Way(415, "unsupported_image", request={"content": b"GIF89a"}), id="415 image"),
    pytest.param(Way(422, "corrupt_image", request={"content": photo()[:99]}), id="422"),
    *(
        by_url(kind("the log's text"))
        for kind in (
            errors.SourceForbidden,
            errors.SourceUnreachable,
            errors.SourceTruncated,
            errors.SourceTooLarge,
            errors.SourceTimeout,
            errors.ImageTooLarge,
        )
    ),
    by_engine(model_errors.Overloaded(retry_after=3), 429, "overloaded"),
    by_engine(model_errors.InferenceFailed("NaN"), 500, "inference_failed"),
    by_engine(model_errors.ModelUnavailable("pull it"), 503, "model_unavailable"),
    by_engine(model_errors.DeviceLost("sticky"), 503, "model_unavailable"),
    by_engine(model_errors.OutOfMemory("x"), 503, "out_of_memory"),
    by_engine(model_errors.Draining("x"), 503, "draining"),
    by_engine(model_errors.DeadlineExceeded("x"), 504, "deadline_exceeded"),
    by_engine(ZeroDivisionError("/a/path"), 500, "internal_error"),
    by_engine(MemoryError(), 500, "internal_error"),
    pytest.param(Way(503, "storage_unavailable", store=errors.StoreUnavailable("x")), id="store"),
    pytest.param(Way(503, "storage_full", store=errors.StoreFull("x")), id="store full"),
    pytest.param(Way(500, "internal_error", store=OSError(28, "/var/x")), id="a bug of the store"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_every_failure_looks_the_same(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "objectcut.requests")
    engine = FakeEngine(fails=way.engine)
    async with serving(
        {"anonymous": False, "secret_access": KEY, "limits": {"body_bytes": 50_000}},
        fetcher=FakeFetcher({URL: way.page} if way.page else {}),
        engine=engine,
        store=FailingStore(way.store) if way.store else memory_store(),
    ) as served:
        served.http.headers["X-Api-Key"] = KEY
        answer = await served.http.request(way.method, way.path, **way.request)

        assert answer.status_code == way.status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("retry-after" in answer.headers) is (way.status in (429, 503))
        body = answer.json()
        assert list(body) == ["type", "title", "status", "code", "detail", "request_id", "errors"]
        assert (body["status"], body["code"], body["type"]) == (way.status, way.code, f"/errors#{way.code}")
        assert body["request_id"] == answer.headers["x-request-id"]
        assert all(list(each) == ["title", "code", "detail"] for each in body["errors"])
        assert body["errors"]
        for inside in ("the log's text", "/a/path", "/var/x", "NaN", "sticky", "Traceback"):
            assert inside not in answer.text

        lines = [line for line in caplog.records if line.name == "objectcut.requests"]
        assert len(lines) == 1
        fields = lines[0].__dict__["fields"]
        assert (fields["request_id"], fields["status"]) == (body["request_id"], way.status)
        assert fields["code"] == way.code
        assert bool(lines[0].exc_info) is (way.code == "internal_error")
        assert served.metric("errors_total", code=way.code) == 1

        served.assert_at_rest()
        engine.fails = None
        served.http.headers["Accept"] = "image/png"
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 200


async def test_405_names_the_methods() -> None:
    async with serving() as served:
        assert (await served.http.put("/v1/cutouts")).headers["allow"] == "POST"


async def test_what_helps_is_told() -> None:
    missing = model_errors.ModelUnavailable("run `objectcut models import`")
    async with serving(engine=FakeEngine(fails=missing)) as served:
        answer = await served.http.post("/v1/cutouts", files=FILE)
        assert answer.json()["detail"] == "run `objectcut models import`"
