"""POST, GET and DELETE /v1/cutouts, GET /v1/models."""

import asyncio
import base64
import io
import json
import time
import zipfile
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from api.errors import CorruptImage, SourceForbidden, StoreFull, StoreUnavailable
from api.routes.bodies import wanted_bytes
from api.storage import MemoryStore, UrlSigner
from tests.fakes import BASE_URL, FailingStore, FakeClock, FakeEngine, FakeFetcher, memory_store, photo
from tests.service import KEY, Served, serving

PHOTO = photo()
PAGES = {"https://img.example/a.jpg": PHOTO, "https://img.example/sky.png": photo(30, 50, ".png")}
URL = "https://img.example/a.jpg"
TEXT = base64.b64encode(PHOTO).decode()
FILE = {"image": ("a.jpg", PHOTO, "image/jpeg")}
BYTES = {"Accept": "image/*"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def web() -> FakeFetcher:
    return FakeFetcher(PAGES)


def pixels(answer: httpx.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image, np.uint8)


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


async def test_a_soft_edge_stays_soft() -> None:
    async with serving() as served:
        alpha = pixels(await served.http.post("/v1/cutouts", files=FILE, headers=BYTES))[..., 3]
        assert {0, 255} < set(alpha.ravel().tolist())


async def test_the_same_result_is_stored_once() -> None:
    async with serving(fetcher=web()) as served:
        first = (await served.http.post("/v1/cutouts", files=FILE)).json()
        again = (await served.http.post("/v1/cutouts", json={"image_url": URL})).json()
        other = (await served.http.post("/v1/cutouts", files=FILE, data={"output": "mask"})).json()
        assert first["id"] == again["id"] != other["id"]


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


class TestOptions:
    """That each reaches the picture; what it does there is tested with postprocess."""

    async def made(self, files: dict[str, Any] | None = None, **data: Any) -> httpx.Response:
        async with serving(fetcher=web()) as served:
            answer = await served.http.post(
                "/v1/cutouts", files=FILE | (files or {}), data=data, headers=BYTES
            )
            assert answer.status_code == 200, answer.text
            return answer

    async def test_output_alpha(self) -> None:
        assert pixels(await self.made(output="alpha")).shape == (64, 96)

    async def test_output_mask(self) -> None:
        assert set(pixels(await self.made(output="mask")).ravel().tolist()) == {0, 255}

    async def test_output_foreground(self) -> None:
        assert pixels(await self.made(output="foreground")).shape == (64, 96, 3)

    async def test_to_remove_foreground(self) -> None:
        alpha = pixels(await self.made(to_remove="foreground"))[..., 3]
        assert (alpha[32, 48], alpha[0, 0]) == (0, 255)

    async def test_crop_and_margin(self) -> None:
        tight = await self.made(crop="true")
        wide = await self.made(crop="true", crop_margin="3")
        left, top, width, height = map(int, tight.headers["x-cutout-bounding-box"].split(","))
        assert pixels(tight).shape == (height, width, 4)
        assert pixels(wide).shape == (height + 6, width + 6, 4)
        assert min(left, top) >= 3

    async def test_background_colour(self) -> None:
        answer = await self.made(background="#fff")
        assert answer.headers["content-type"] == "image/jpeg"
        assert pixels(answer)[2, 2].min() > 250

    async def test_background_half_transparent(self) -> None:
        answer = await self.made(background="#ff000080")
        assert pixels(answer)[2, 2].tolist() == [0, 0, 255, 128]

    async def test_background_blur(self) -> None:
        assert pixels(await self.made(background="blur", format="png")).shape == (64, 96, 3)

    async def test_background_image(self) -> None:
        blue = cv2.imencode(".png", np.full((9, 9, 4), (255, 0, 0, 255), np.uint8))[1].tobytes()
        answer = await self.made({"background_image": ("b.png", blue)}, format="png")
        assert pixels(answer)[2, 2].tolist() == [255, 0, 0]

    async def test_background_image_with_transparency_lies_over_white(self) -> None:
        clear = cv2.imencode(".png", np.zeros((9, 9, 4), np.uint8))[1].tobytes()
        answer = await self.made({"background_image": ("b.png", clear)}, format="png")
        assert pixels(answer)[2, 2].tolist() == [255, 255, 255]

    async def test_background_image_by_url(self) -> None:
        answer = await self.made(background_image_url="https://img.example/sky.png", format="png")
        assert pixels(answer).shape == (64, 96, 3)

    @pytest.mark.parametrize("edges", ["soft", "sharp", "objectcut"])
    async def test_edges_and_morphology(self, edges: str) -> None:
        answer = await self.made(edges=edges, morphology=["close", "keep_largest,fill_holes"], refine="no")
        assert pixels(answer)[32, 48, 3] == 255

    @pytest.mark.parametrize("format", ["png", "webp", "jpeg", "avif"])
    async def test_format(self, format: str) -> None:
        answer = await self.made(format=format, quality="100")
        assert answer.headers["content-type"] == f"image/{format}"

    async def test_format_zip(self) -> None:
        answer = await self.made(format="zip")
        assert answer.headers["content-type"] == "application/zip"
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert names == ["color.jpg", "alpha.png"]

    async def test_zip_over_a_picture_is_refused(self) -> None:
        async with serving() as served:
            answer = await served.http.post(
                "/v1/cutouts", files=FILE | {"background_image": ("b", PHOTO)}, data={"format": "zip"}
            )
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_options")

    async def test_a_source_s_own_transparency(self) -> None:
        clear = np.zeros((64, 96, 4), np.uint8)
        clear[:, :48, 3] = 255
        files = {"image": ("a.png", cv2.imencode(".png", clear)[1].tobytes())}
        kept = pixels(await self.made(files))[..., 3]
        ignored = pixels(await self.made(files, source_alpha="ignore"))[..., 3]
        assert (kept[32, 60], ignored[32, 60]) == (0, 255)


async def test_no_subject() -> None:
    async with serving(engine=FakeEngine(empty=True)) as served:
        whole = await served.http.post("/v1/cutouts", files=FILE)
        assert whole.json()["bounding_box"] is None
        assert (await served.http.get(whole.headers["location"])).json()["bounding_box"] is None
        cropped = await served.http.post("/v1/cutouts", files=FILE, data={"crop": "1"})
        assert (cropped.status_code, cropped.json()["code"]) == (422, "no_subject")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        pytest.param("", (False, None), id="none"),
        pytest.param("*/*", (False, None), id="anything"),
        pytest.param("application/json", (False, None), id="JSON"),
        pytest.param("text/html", (False, None), id="nothing of ours"),
        pytest.param("image/*", (True, None), id="any image"),
        pytest.param("IMAGE/WEBP", (True, "webp"), id="a format"),
        pytest.param("application/zip", (True, "zip"), id="ZIP"),
        pytest.param("application/json;q=0.5, image/png", (True, "png"), id="by quality"),
        pytest.param("image/png;q=0.1, application/json", (False, None), id="JSON by quality"),
        pytest.param("image/avif,image/webp,image/*,*/*;q=0.8", (True, "avif"), id="a browser's img"),
        pytest.param("image/png;q=0", (False, None), id="refused"),
        pytest.param("image/png;q=x", (False, None), id="malformed quality"),
        pytest.param(",;,=", (False, None), id="noise"),
    ],
)
def test_accept(accept: str, wanted: tuple[bool, str | None]) -> None:
    assert wanted_bytes(accept) == wanted


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
            assert (await served.http.delete(link.path)).status_code == 204
            assert (await served.http.get(link)).status_code == 404


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


class TestKeys:
    ROUTES = (
        ("POST", "/v1/cutouts"),
        ("GET", f"/v1/cutouts/{'0' * 32}.png"),
        ("DELETE", f"/v1/cutouts/{'0' * 32}.png"),
        ("GET", "/v1/models"),
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


async def test_source_errors_never_say_why() -> None:
    pages = {
        "https://a.example/": SourceForbidden("10.0.0.1 is private"),
        "https://b.example/": CorruptImage(),
    }
    async with serving(fetcher=FakeFetcher(pages)) as served:
        refused = await served.http.post("/v1/cutouts", json={"image_url": "https://a.example/"})
        assert (refused.status_code, refused.json()["code"]) == (422, "source_forbidden")
        assert "10.0.0.1" not in refused.text


async def test_options_of_a_raw_body_stand_in_the_query() -> None:
    async with serving() as served:
        answer = await served.http.post(
            "/v1/cutouts?output=mask&morphology=open&morphology=close", content=PHOTO, headers=BYTES
        )
        assert set(pixels(answer).ravel().tolist()) == {0, 255}


async def test_the_store_is_asked_only_for_links() -> None:
    store = memory_store()
    async with serving(store=store) as served:
        await served.http.post("/v1/cutouts", files=FILE, headers=BYTES)
        answer = await served.http.post("/v1/cutouts", files=FILE)
        facts = json.loads(answer.text)
        assert facts["url"].startswith(f"{BASE_URL}/v1/cutouts/{facts['id']}?expires=")
