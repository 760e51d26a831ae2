"""POST /v1/cutouts: what may be sent, what is refused, who may; GET /v1/models."""

import asyncio
import base64
from typing import Any

import pytest

from api.errors import CorruptImage, SourceForbidden, StoreUnavailable
from tests.api.routes.sent import BYTES, FILE, PHOTO, URL, pixels, web
from tests.fakes import FailingStore, FakeEngine, FakeFetcher, photo
from tests.service import KEY, serving

TEXT = base64.b64encode(PHOTO).decode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


SOURCES: list[Any] = [
    pytest.param({"files": FILE}, id="file"),
    pytest.param({"files": {"image_url": (None, URL)}}, id="multipart image_url"),
    pytest.param({"files": {"image_base64": (None, TEXT)}}, id="multipart image_base64"),
    pytest.param({"data": {"image_url": URL, "image_base64": ""}}, id="urlencoded, one field left empty"),
    pytest.param({"json": {"image_url": URL}}, id="JSON image_url"),
    pytest.param({"json": {"image_base64": TEXT, "image_url": None}}, id="JSON image_base64"),
    pytest.param({"json": {"image_base64": f"data:image/jpeg;base64,{TEXT}"}}, id="data: prefix"),
    pytest.param({"content": PHOTO, "headers": {"Content-Type": "image/jpeg"}}, id="raw image"),
    pytest.param(
        {"content": PHOTO, "headers": {"Content-Type": "application/octet-stream"}}, id="raw octets"
    ),
    pytest.param({"content": PHOTO}, id="raw without a type"),
]


@pytest.mark.parametrize("request_", SOURCES)
async def test_every_way_to_send_a_picture(request_: dict[str, Any]) -> None:
    async with serving(fetcher=web()) as served:
        answer = await served.http.post("/v1/cutouts", **request_)
        assert answer.status_code == 201, answer.text
        cutout = answer.json()
        assert answer.headers["location"] == f"/v1/cutouts/{cutout['id']}"
        assert (cutout["width"], cutout["height"], cutout["format"]) == (96, 64, "png")
        assert (cutout["media_type"], cutout["model"]) == ("image/png", "lite")
        assert set(cutout["timings_ms"]) == {
            "fetch",
            "decode",
            "matte",
            "refine",
            "compose",
            "encode",
            "store",
        }
        box = cutout["bounding_box"]
        assert 0 < box["left"] < 48 < box["left"] + box["width"] < 96
        stored = await served.http.get(cutout["url"])
        assert len(stored.content) == cutout["size"]
        assert pixels(stored).shape == (64, 96, 4)


REFUSED: list[Any] = [
    pytest.param({"json": {}}, 400, "exactly one of image", id="no source"),
    pytest.param({"content": b""}, 400, "exactly one of image", id="nothing at all"),
    pytest.param({"files": {"image": ("a.jpg", b"")}}, 400, "exactly one of", id="an empty file"),
    pytest.param({"json": {"image_url": URL, "image_base64": TEXT}}, 400, "exactly one", id="two sources"),
    pytest.param({"files": FILE, "data": {"image_url": URL}}, 400, "exactly one of", id="file and URL"),
    pytest.param({"files": {"photo": ("a", b"x")}}, 400, "photo: not a file", id="a file of another name"),
    pytest.param({"json": {"image_base64": "not base64!"}}, 400, "image_base64: not", id="no base64"),
    pytest.param({"json": {"image_url": 3}}, 400, "image_url", id="a URL that is a number"),
    pytest.param({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "JSON", id="JSON"),
    pytest.param({"json": [1]}, 400, "not a JSON object", id="a list"),
    pytest.param({"content": b"x=\xff", "headers": FORM}, 400, "UTF-8", id="no UTF-8"),
    pytest.param(
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "form", id="no boundary"
    ),
    pytest.param(
        {"content": b"-", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
        400,
        "form is not well-formed",
        id="broken multipart",
    ),
    pytest.param(
        {"files": FILE, "data": {"colour": "red"}}, 400, "colour: Extra inputs", id="unknown option"
    ),
    pytest.param({"files": FILE, "data": {"quality": "101"}}, 400, "quality: ", id="out of range"),
    pytest.param({"files": FILE, "data": {"output": "svg"}}, 400, "output: ", id="not a choice"),
    pytest.param({"files": FILE, "data": {"model": "u2net"}}, 400, "must be one of lite", id="no such model"),
    pytest.param({"files": FILE, "data": {"model": "../lite"}}, 400, "must be one of lite", id="a path"),
    pytest.param({"files": FILE, "data": {"background": "octarine"}}, 400, "not a colour", id="no colour"),
    pytest.param(
        {"files": FILE, "data": {"morphology": "open,melt"}}, 400, "morphology.1", id="no operation"
    ),
    pytest.param({"files": FILE, "data": {"crop": ["1", "0"]}}, 400, "crop: given twice", id="twice"),
    pytest.param(
        {"files": FILE, "data": {"crop": "1"}, "params": {"crop": "1"}}, 400, "crop: given twice", id="query"
    ),
    pytest.param(
        {"files": FILE, "data": {"format": "zip", "output": "alpha"}}, 400, "zip holds", id="contradiction"
    ),
    pytest.param(
        {"files": FILE | {"background_image": ("b", PHOTO)}, "data": {"background": "red"}},
        400,
        "at most one of background",
        id="two backgrounds",
    ),
    pytest.param(
        {"content": b"hi", "headers": {"Content-Type": "text/plain"}}, 415, "Send multipart", id="text"
    ),
    pytest.param({"files": {"image": ("a.jpg", b"<svg/>")}}, 415, "We read", id="SVG"),
    pytest.param({"files": {"image": ("a.jpg", PHOTO[:300])}}, 422, None, id="truncated"),
    pytest.param({"json": {"image_url": "https://img.example/no"}}, 422, None, id="unreachable"),
    pytest.param({"files": FILE, "headers": {"X-Timeout": "soon"}}, 400, "X-Timeout", id="X-Timeout text"),
    pytest.param({"files": FILE, "headers": {"X-Timeout": "nan"}}, 400, "X-Timeout", id="X-Timeout NaN"),
    pytest.param({"files": FILE, "headers": {"X-Timeout": "1e-9"}}, 504, None, id="X-Timeout too short"),
]


@pytest.mark.parametrize(("request_", "status", "detail"), REFUSED)
async def test_what_is_refused(request_: dict[str, Any], status: int, detail: str | None) -> None:
    engine = FakeEngine()
    async with serving(fetcher=web(), engine=engine) as served:
        answer = await served.http.post("/v1/cutouts", **request_)
        assert answer.status_code == status, answer.text
        if detail:
            assert detail in answer.json()["detail"]
        assert engine.seen == []
        served.assert_at_rest()
        assert (await served.http.post("/v1/cutouts", files=FILE)).status_code == 201


async def test_every_bad_option_is_told() -> None:
    async with serving() as served:
        answer = await served.http.post("/v1/cutouts", files=FILE, data={"quality": "0", "edges": "x"})
        assert [error["detail"].partition(":")[0] for error in answer.json()["errors"]] == [
            "edges",
            "quality",
        ]


async def test_bytes_come_with_the_facts_as_headers() -> None:
    async with serving(store=FailingStore(StoreUnavailable("must not be needed"))) as served:
        answer = await served.http.post("/v1/cutouts", files=FILE, headers={"Accept": "image/webp"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert answer.headers["x-cutout-width"] == "96"
        assert answer.headers["x-cutout-height"] == "64"
        assert answer.headers["x-cutout-model"] == "lite"
        assert len(answer.headers["x-cutout-bounding-box"].split(",")) == 4
        assert "decode;dur=" in answer.headers["server-timing"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"


class TestKeys:
    ROUTES = (
        ("POST", "/v1/cutouts"),
        ("GET", f"/v1/cutouts/{'0' * 32}.png"),
        ("DELETE", f"/v1/cutouts/{'0' * 32}.png"),
        ("GET", "/v1/models"),
        ("GET", "/v1/licenses"),
    )

    @pytest.mark.parametrize(
        ("headers", "welcome"),
        [
            pytest.param({"X-Api-Key": KEY}, True, id="X-Api-Key"),
            pytest.param({"Authorization": f"Bearer {KEY}"}, True, id="Bearer"),
            pytest.param({"authorization": f"bearer  {KEY}"}, True, id="bearer, loosely"),
            pytest.param({}, False, id="none"),
            pytest.param({"X-Api-Key": ""}, False, id="empty"),
            pytest.param({"X-Api-Key": KEY[:-1]}, False, id="a prefix"),
            pytest.param({"X-Api-Key": KEY + "x"}, False, id="longer"),
            pytest.param({"X-Api-Key": b"\xff\xfe"}, False, id="not ASCII"),
            pytest.param({"Authorization": f"Basic {KEY}"}, False, id="another scheme"),
            pytest.param({"X-Secret-Access": KEY}, False, id="another contract's header"),
        ],
    )
    async def test_every_route_of_v1_wants_the_key(self, headers: dict[str, Any], welcome: bool) -> None:
        async with serving({"anonymous": False, "secret_access": KEY}) as served:
            for method, path in self.ROUTES:
                answer = await served.http.request(method, path, headers=headers)
                assert (answer.status_code != 401) is welcome, (method, path)
                if not welcome:
                    assert answer.json()["code"] == "unauthorized"
                    assert answer.headers["www-authenticate"] == "Bearer"

    async def test_operations_do_not(self) -> None:
        async with serving({"anonymous": False, "secret_access": KEY}) as served:
            for path in ("/", "/healthz", "/readyz", "/metrics", "/errors", "/stillalive", "/openapi.json"):
                assert (await served.http.get(path)).status_code == 200, path


async def test_nothing_of_the_source_s_metadata_survives() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\x1aGPS-MARKER"
    comment = b"COMMENT-MARKER"
    segments = b"".join(
        marker + (len(data) + 2).to_bytes(2, "big") + data
        for marker, data in ((b"\xff\xe1", exif), (b"\xff\xfe", comment))
    )
    source = PHOTO[:2] + segments + PHOTO[2:] + b"<script>POLYGLOT-MARKER</script>"
    async with serving() as served:
        for format in ("png", "webp", "jpeg", "avif", "zip"):
            answer = await served.http.post(
                "/v1/cutouts", content=source, params={"format": format}, headers=BYTES
            )
            assert answer.status_code == 200, answer.text
            for marker in (b"MARKER", b"Exif", b"GPS", b"<script"):
                assert marker not in answer.content, (format, marker)


async def test_an_answer_does_not_depend_on_its_neighbours() -> None:
    photos = [photo(90 + 7 * number, 60 + 5 * number) for number in range(6)]
    async with serving({"cpu_jobs": 3}) as served:

        async def cut(data: bytes) -> bytes:
            return (await served.http.post("/v1/cutouts", content=data, headers=BYTES)).content

        alone = [await cut(data) for data in photos]
        assert await asyncio.gather(*(cut(data) for data in photos)) == alone
        assert len(set(alone)) == len(photos)


async def test_models() -> None:
    async with serving() as served:
        answer = await served.http.get("/v1/models")
        assert [(model["name"], model["available"]) for model in answer.json()["models"]] == [("lite", True)]


async def test_licences() -> None:
    async with serving() as served:
        answer = await served.http.get("/v1/licenses")
        expected = {"name": "lite", "licence": "MIT", "paper": "None.", "source": "tests/fakes.py"}
        assert (answer.status_code, answer.json()) == (200, {"models": [expected]})


async def test_source_errors_never_say_why() -> None:
    pages = {
        "https://a.example/": SourceForbidden("10.0.0.1 is private"),
        "https://b.example/": CorruptImage(),
    }
    async with serving(fetcher=FakeFetcher(pages)) as served:
        refused = await served.http.post("/v1/cutouts", json={"image_url": "https://a.example/"})
        assert (refused.status_code, refused.json()["code"]) == (422, "source_forbidden")
        assert "10.0.0.1" not in refused.text
