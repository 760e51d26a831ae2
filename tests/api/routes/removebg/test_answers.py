"""The contract of failures under /v1.0, for every way to fail.

Whatever the status: `application/json` with exactly `{"errors": [{"title", "code", "detail"}]}`, all of them
texts, Retry-After on 429 and 503, no word from the inside of the service, and nothing held afterwards.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from api import errors
from api.accounts import Accounts, AccountsConfig
from api.routes.removebg.answers import wants_json
from api.source.fetch import FetchConfig, HttpFetcher
from api.source.limits import DecodeLimits
from model import errors as model_errors
from tests.api.routes.removebg.conftest import Client, account
from tests.api.routes.removebg.sent import FILE, PHOTO, URL, only_error
from tests.fakes import FakeEngine, FakeFetcher, InlineDecoder, MemoryLedger, photo
from tests.service import serving

INSIDE = ("the log's text", "/a/path", "NaN", "sticky", "Traceback", "httpx", "127.0.0.1")


@dataclass
class Way:
    """One way to fail. page, engine: what fails behind the request."""

    status: int
    code: str
    method: str = "POST"
    path: str = "/v1.0/removebg"
    request: Mapping[str, Any] = field(default_factory=lambda: {"files": FILE})
    page: Exception | None = None
    engine: Exception | None = None


def fields(code: str, **data: Any) -> Any:
    return pytest.param(Way(400, code, request={"files": FILE, "data": data}), id=code)


def by_url(error: errors.ObjectCutError, status: int, code: str) -> Any:
    way = Way(status, code, request={"json": {"image_url": URL}}, page=error)
    return pytest.param(way, id=f"URL: {type(error).__name__}")


def by_engine(error: Exception, status: int, code: str) -> Any:
    return pytest.param(Way(status, code, engine=error), id=f"engine: {type(error).__name__}")


SECRET = "the log's text"
WAYS = [
    pytest.param(Way(400, "missing_source", request={}), id="no body"),
    pytest.param(Way(400, "missing_source", request={"json": {}}), id="missing_source"),
    pytest.param(
        Way(400, "multiple_sources", request={"files": FILE, "data": {"image_url": URL}}),
        id="multiple_sources",
    ),
    fields("multiple_bg_sources", bg_color="red", bg_image_url=URL),
    fields("invalid_size", size="huge"),
    fields("invalid_type", type="cloud"),
    fields("invalid_format", format="tiff"),
    fields("invalid_roi", roi="0 0 100%"),
    fields("roi_exceeds_bounds", roi="0 0 97px 64px"),
    fields("roi_region_empty", roi="10px 10px 10px 20px"),
    fields("invalid_crop_margin", crop="true", crop_margin="501px"),
    fields("invalid_scale", scale="200%"),
    fields("invalid_position", position="left"),
    fields("invalid_channels", channels="cmyk"),
    fields("invalid_semitransparency", semitransparency="very"),
    fields("invalid_bg_color", bg_color="reddish"),
    fields("invalid_bg_image_url", bg_image_url="ftp://a/b"),
    pytest.param(
        Way(400, "invalid_image_url", request={"json": {"image_url": "a.jpg"}}), id="invalid_image_url"
    ),
    pytest.param(
        Way(400, "invalid_file_type", request={"files": {"image_file": b"<svg/>"}}), id="invalid_file_type"
    ),
    pytest.param(
        Way(400, "failed_to_read_image", request={"files": {"image_file": PHOTO[:99]}}),
        id="failed_to_read_image",
    ),
    pytest.param(
        Way(400, "resolution_too_high", request={"files": {"image_file": photo(300, 300)}}),
        id="resolution_too_high",
    ),
    pytest.param(
        Way(
            400,
            "invalid_parameters",
            request={"content": b"{", "headers": {"Content-Type": "application/json"}},
        ),
        id="bad JSON",
    ),
    pytest.param(
        Way(400, "invalid_parameters", request={"files": FILE, "headers": {"X-Timeout": "soon"}}),
        id="bad X-Timeout",
    ),
    by_url(errors.SourceForbidden(SECRET), 400, "failed_image_download"),
    by_url(errors.SourceUnreachable(SECRET), 400, "failed_image_download"),
    by_url(errors.SourceTruncated(SECRET), 400, "failed_image_download"),
    by_url(errors.SourceTimeout(SECRET), 400, "failed_image_download"),
    by_url(errors.SourceTooLarge(SECRET), 400, "file_too_large"),
    pytest.param(
        Way(403, "auth_failed", request={"files": FILE, "headers": {"X-Api-Key": "wrong"}}), id="403 wrong"
    ),
    pytest.param(
        Way(403, "auth_failed", "GET", "/v1.0/account", {"headers": {"X-Api-Key": "é".encode()}}),
        id="403 odd",
    ),
    pytest.param(Way(404, "not_found", "GET", "/v1.0/nowhere"), id="404"),
    pytest.param(Way(404, "not_found", "GET", "/v1.0"), id="404 bare"),
    pytest.param(Way(404, "not_found", "POST", "/v1.0/removebg/"), id="404 slash"),
    pytest.param(Way(405, "method_not_allowed", "GET"), id="405"),
    pytest.param(Way(405, "method_not_allowed", "POST", "/v1.0/account"), id="405 account"),
    pytest.param(Way(413, "file_too_large", request={"files": {"image_file": b"x" * 60_000}}), id="413"),
    pytest.param(
        Way(
            415,
            "unsupported_media_type",
            request={"content": PHOTO, "headers": {"Content-Type": "image/jpeg"}},
        ),
        id="415",
    ),
    by_engine(model_errors.Overloaded(retry_after=3), 429, "overloaded"),
    by_engine(model_errors.InferenceFailed("NaN"), 500, "inference_failed"),
    by_engine(ZeroDivisionError("/a/path"), 500, "internal_error"),
    by_engine(model_errors.DeviceLost("sticky"), 503, "model_unavailable"),
    by_engine(model_errors.Draining("x"), 503, "draining"),
    by_engine(model_errors.DeadlineExceeded("x"), 503, "deadline_exceeded"),
]


@pytest.mark.parametrize("way", WAYS)
async def test_every_failure_is_an_errors_list(way: Way) -> None:
    engine = FakeEngine(fails=way.engine)
    async with serving(
        {
            "anonymous": False,
            "secret_access": "key",
            "limits": {"body_bytes": 50_000},
        },
        fetcher=FakeFetcher({URL: way.page} if way.page else {}),
        decoder=InlineDecoder(DecodeLimits(max_pixels=50_000)),
        engine=engine,
    ) as served:
        served.http.headers["X-Api-Key"] = "key"
        answer = await served.http.request(way.method, way.path, **way.request)
        assert answer.status_code == way.status, answer.text
        assert only_error(answer)["code"] == way.code
        assert answer.headers["cache-control"] == "no-store"
        assert ("retry-after" in answer.headers) is (way.status in (429, 503))
        assert answer.headers["x-request-id"]
        assert not [text for text in INSIDE if text in answer.text]
        served.assert_at_rest()


async def test_no_subject() -> None:
    async with serving(engine=FakeEngine(empty=True)) as served:
        answer = await served.http.post("/v1.0/removebg", files=FILE)
        assert (answer.status_code, only_error(answer)["code"]) == (400, "unknown_foreground")


@pytest.mark.parametrize(
    ("headers", "title"),
    [
        pytest.param({}, "Missing API Key", id="none"),
        pytest.param({"X-API-Key": "no"}, "API Key invalid", id="wrong"),
        pytest.param({"Authorization": "Bearer no"}, "API Key invalid", id="wrong bearer"),
    ],
)
async def test_403_says_which(headers: dict[str, str], title: str) -> None:
    async with serving({"anonymous": False, "secret_access": "key"}) as served:
        answer = await served.http.get("/v1.0/account", headers=headers)
        assert (answer.status_code, only_error(answer)["title"]) == (403, title)
        assert "www-authenticate" not in answer.headers


async def test_405_names_the_methods(client: Client) -> None:
    assert (await client.http.get("/v1.0/removebg")).headers["allow"] == "POST"


async def test_429_of_a_key_with_its_rate() -> None:
    ledger = MemoryLedger()
    key = await account(ledger)
    config = AccountsConfig.model_validate({"plan": {"requests_per_minute": 1}})
    settings = {"anonymous": False, "secret_access": "secret"}
    async with serving(settings, accounts=Accounts(config, ledger)) as served:
        served.http.headers["X-Api-Key"] = key
        answers: list[httpx.Response] = [await served.http.get("/v1.0/account") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert only_error(answers[1])["code"] == "rate_limit_exceeded"
        assert 1 <= int(answers[1].headers["retry-after"]) <= 61
        assert answers[1].headers["x-ratelimit-limit"] == "1"
        assert answers[1].headers["x-ratelimit-remaining"] == "0"
        assert int(answers[1].headers["x-ratelimit-reset"]) > 0


async def test_other_contracts_keep_their_own_failures(client: Client) -> None:
    for path in ("/v1.0x", "/v1/nowhere", "/nowhere"):
        answer = await client.http.get(path)
        assert answer.headers["content-type"] == "application/problem+json", path


def test_an_empty_accept_is_no_wish() -> None:
    assert not wants_json("")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://img.example:8080/a.jpg", id="port"),
        pytest.param("https://user:word@img.example/a.jpg", id="credentials"),
        pytest.param("https://bücher.example/a.jpg", id="not ASCII"),
        pytest.param("http://img example/a.jpg", id="a blank"),
    ],
)
async def test_a_url_that_is_refused_by_its_text_has_its_parameters_code(url: str) -> None:
    async with serving(fetcher=HttpFetcher(FetchConfig())) as served:
        for path, wrong, right in (
            ("removebg", "image_url", {}),
            ("improve", "image_url", {}),
            ("removebg", "bg_image_url", {"image_file_b64": base64.b64encode(PHOTO).decode()}),
        ):
            answer = await served.http.post(f"/v1.0/{path}", json={wrong: url} | right)
            assert answer.status_code == 400
            assert only_error(answer)["code"] == f"invalid_{wrong}", answer.text
            assert ("background" in answer.text or "bg_" in answer.text) == wrong.startswith("bg_")
        served.assert_at_rest()
