"""/v1.0: bodies, answers, headers, prices. What each parameter does to a picture is in test_layout."""

import base64
import time
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest

from api.accounts import Accounts, AccountsConfig
from tests.api.routes.removebg.conftest import Client, account
from tests.api.routes.removebg.sent import (
    BLUE,
    FILE,
    JSON,
    PHOTO,
    SKY_URL,
    URL,
    only_error,
    pixels,
    read,
    unzipped,
    web,
)
from tests.fakes import FakeEngine, MemoryLedger, photo
from tests.service import serving

BASE64 = base64.b64encode(PHOTO).decode()
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"files": FILE}, id="multipart, a file"),
        pytest.param({"files": {"image_url": (None, URL)}}, id="multipart, a URL"),
        pytest.param({"files": {"image_file_b64": (None, BASE64)}}, id="multipart, base64"),
        pytest.param({"data": {"image_url": URL}}, id="urlencoded, a URL"),
        pytest.param({"data": {"image_file_b64": BASE64}}, id="urlencoded, base64"),
        pytest.param(
            {"content": f"image_file_b64={BASE64}", "headers": FORM}, id="urlencoded, base64 not escaped"
        ),
        pytest.param({"json": {"image_url": URL}}, id="JSON, a URL"),
        pytest.param({"json": {"image_file_b64": BASE64, "crop": False, "roi": None}}, id="JSON, base64"),
        pytest.param(
            {
                "content": b'{"image_url": "%s"}' % URL.encode(),
                "headers": {"Content-Type": "application/json; charset=utf-8"},
            },
            id="JSON with a charset",
        ),
        pytest.param(
            {
                "content": urlencode({"image_url": URL}),
                "headers": {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"},
            },
            id="urlencoded with a charset",
        ),
    ],
)
async def test_three_kinds_of_bodies(client: Client, request_: dict[str, Any]) -> None:
    answer = await client.http.post("/v1.0/removebg", **request_)
    assert pixels(answer).shape == (64, 96, 4)
    assert answer.headers["content-type"] == "image/png"
    client.served.assert_at_rest()


async def test_headers(client: Client) -> None:
    answer = await client.remove(size="full")
    facts = {name: answer.headers[f"x-{name}"] for name in ("type", "width", "height", "credits-charged")}
    assert facts == {"type": "other", "width": "96", "height": "64", "credits-charged": "1"}
    assert (answer.headers["x-max-width"], answer.headers["x-max-height"]) == ("96", "64")
    left, top, width, height = (
        int(answer.headers[f"x-foreground-{side}"]) for side in ("left", "top", "width", "height")
    )
    alpha = pixels(answer)[..., 3]
    assert (alpha[top : top + height, left : left + width] > 10).any(axis=1).all()
    assert not (alpha[:top] > 10).any()
    assert not (alpha[:, left + width :] > 10).any()
    assert answer.headers["x-ratelimit-limit"] == "500"
    assert answer.headers["x-ratelimit-remaining"] == "499"
    assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() < 62
    assert answer.headers["cache-control"] == "no-store"


async def test_type_level_none_leaves_the_type_out(client: Client) -> None:
    assert "x-type" not in (await client.remove(type_level="none")).headers
    assert (await client.remove(type_level="latest", type="person")).headers["x-type"] == "other"


async def test_json(client: Client) -> None:
    as_bytes = await client.remove()
    answer = await client.http.post("/v1.0/removebg", files=FILE, headers=JSON)
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["data"]
    data = body["data"]
    assert base64.b64decode(data.pop("result_b64"), validate=True) == as_bytes.content
    sides = ("left", "top", "width", "height")
    assert data == {f"foreground_{side}": int(answer.headers[f"x-foreground-{side}"]) for side in sides}
    assert answer.headers["x-credits-charged"] == "0"


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        pytest.param("application/json", True, id="JSON"),
        pytest.param("Application/JSON; charset=utf-8", True, id="JSON with a parameter"),
        pytest.param("application/json, text/plain", True, id="JSON first"),
        pytest.param("application/json, text/plain, */*", False, id="axios"),
        pytest.param("*/*", False, id="curl, requests"),
        pytest.param("image/*", False, id="images"),
        pytest.param("application/json, image/png", False, id="either"),
        pytest.param("", False, id="nothing"),
    ],
)
async def test_accept(client: Client, accept: str, json: bool) -> None:
    answer = await client.http.post("/v1.0/removebg", files=FILE, headers={"Accept": accept})
    assert answer.headers["content-type"] == ("application/json" if json else "image/png")


class TestPrices:
    @pytest.mark.parametrize(
        ("config", "size", "charged", "left"),
        [
            pytest.param("integer", "preview", "0", 10, id="integer, preview"),
            pytest.param("integer", "regular", "0", 10, id="integer, regular"),
            pytest.param("integer", "hd", "1", 9, id="integer, hd"),
            pytest.param("decimal", "preview", "0.25", 9.75, id="decimal, preview"),
            pytest.param("decimal", "full", "1.0", 9, id="decimal, full"),
        ],
    )
    async def test_what_is_told_is_what_is_charged(
        self, config: str, size: str, charged: str, left: float
    ) -> None:
        ledger = MemoryLedger()
        accounts = Accounts(AccountsConfig(), ledger)
        key = await account(ledger)
        settings = {"anonymous": False, "secret_access": "secret", "removebg": {"credits": config}}
        async with serving(settings, accounts=accounts) as served:
            served.http.headers["X-Api-Key"] = key
            client = Client(served, key)
            assert (await client.remove(size=size)).headers["x-credits-charged"] == charged
            assert await client.left() == left

    async def test_what_fails_costs_nothing(self, client: Client) -> None:
        failed = await client.http.post("/v1.0/removebg", files={"image_file": b"no"}, data={"size": "full"})
        assert failed.status_code == 400
        assert await client.left() == 10

    async def test_402_before_any_work(self) -> None:
        ledger, engine = MemoryLedger(), FakeEngine()
        key = await account(ledger, credits=0.5)
        settings = {"anonymous": False, "secret_access": "secret"}
        async with serving(settings, engine=engine, accounts=Accounts(AccountsConfig(), ledger)) as served:
            served.http.headers["X-Api-Key"] = key
            answer = await Client(served, key).remove(size="full")
            assert answer.status_code == 402
            assert only_error(answer)["code"] == "insufficient_credits"
            assert engine.seen == []
            # `auto` is what the credits are good for.
            auto = await Client(served, key).remove(size="auto")
            assert (auto.status_code, auto.headers["x-credits-charged"]) == (200, "0")

    async def test_auto_is_all_there_is(self, client: Client) -> None:
        files = {"image_file": photo(1000, 800)}
        answer = await client.http.post("/v1.0/removebg", files=files, data={"size": "auto"})
        assert (answer.headers["x-width"], answer.headers["x-credits-charged"]) == ("1000", "1")


class TestAccount:
    KEYS = ("total", "subscription", "payg", "enterprise")

    async def test_exactly_these_keys(self, client: Client) -> None:
        answer = await client.http.get("/v1.0/account")
        assert answer.json() == {
            "data": {
                "attributes": {
                    "credits": {"total": 10, "subscription": 0, "payg": 10, "enterprise": 0},
                    "api": {"free_calls": 0, "sizes": "all"},
                }
            }
        }
        assert b"10.0" not in answer.content

    async def test_without_a_balance_there_is_plenty(self) -> None:
        async with serving() as served:
            body = (await served.http.get("/v1.0/account")).json()
            assert body["data"]["attributes"]["credits"]["total"] == 1_000_000


class TestSizes:
    async def test_a_preview_is_a_quarter_of_a_megapixel(self, client: Client) -> None:
        files = {"image_file": photo(1200, 900)}
        answer = await client.http.post("/v1.0/removebg", files=files)
        image = pixels(answer)
        assert image.shape[0] * image.shape[1] <= 250_000
        assert image.shape[1] / image.shape[0] == pytest.approx(4 / 3, rel=0.01)
        assert (int(answer.headers["x-width"]), int(answer.headers["x-height"])) == image.shape[1::-1]
        # What `full` gives, and the subject, are told of the picture as it came.
        assert (answer.headers["x-max-width"], answer.headers["x-max-height"]) == ("1200", "900")
        full = await client.http.post("/v1.0/removebg", files=files, data={"size": "full"})
        for side in ("left", "top", "width", "height"):
            name = f"x-foreground-{side}"
            assert int(answer.headers[name]) == pytest.approx(int(full.headers[name]), abs=12)

    async def test_full_leaves_every_opaque_pixel_as_it_is(self, client: Client) -> None:
        original = read(photo(800, 600, ".png"))
        files = {"image_file": photo(800, 600, ".png")}
        image = pixels(await client.http.post("/v1.0/removebg", files=files, data={"size": "full"}))
        opaque = image[..., 3] == 255
        assert opaque.any()
        assert np.array_equal(image[..., :3][opaque], original[opaque])

    @pytest.mark.parametrize(("format", "width"), [("png", "365"), ("zip", "400"), ("jpg", "400")])
    async def test_png_is_held_smaller(self, format: str, width: str) -> None:
        settings = {"removebg": {"megapixels": 0.12, "png_megapixels": 0.1}}
        async with serving(settings) as served:
            answer = await served.http.post(
                "/v1.0/removebg",
                files={"image_file": photo(400, 300)},
                data={"size": "full", "format": format},
            )
            assert (answer.headers["x-width"], answer.headers["x-max-width"]) == (width, width)


class TestFormats:
    async def test_auto_is_png_with_transparency(self, client: Client) -> None:
        assert (await client.remove()).headers["content-type"] == "image/png"

    async def test_auto_is_jpeg_without(self, client: Client) -> None:
        answer = await client.remove(bg_color="fff")
        assert answer.headers["content-type"] == "image/jpeg"
        assert pixels(answer)[2, 2].min() > 250

    async def test_auto_is_jpeg_where_all_is_subject(self) -> None:
        class All(FakeEngine):
            async def matte(self, rgb: Any, **_: Any) -> Any:
                return np.ones((8, 8), np.float32)

        async with serving(engine=All()) as served:
            answer = await served.http.post("/v1.0/removebg", files=FILE)
            assert answer.headers["content-type"] == "image/jpeg"

    @pytest.mark.parametrize(
        ("format", "media_type"),
        [
            ("png", "image/png"),
            ("jpg", "image/jpeg"),
            ("JPEG", "image/jpeg"),
            ("webp", "image/webp"),
            ("zip", "application/zip"),
        ],
    )
    async def test_named(self, client: Client, format: str, media_type: str) -> None:
        answer = await client.remove(format=format)
        assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)

    async def test_jpeg_has_a_white_background(self, client: Client) -> None:
        assert pixels(await client.remove(format="jpg"))[2, 2].min() > 250

    async def test_zip(self, client: Client) -> None:
        colour, alpha = unzipped((await client.remove(format="zip")).content)
        png = pixels(await client.remove(format="png"))
        assert colour.shape == (64, 96, 3)
        assert np.array_equal(alpha, png[..., 3])
        opaque = alpha == 255
        assert np.abs(colour[opaque].astype(int) - png[..., :3][opaque]).mean() < 3

    @pytest.mark.parametrize(
        ("fields", "files"),
        [
            pytest.param({"bg_color": "0000ff"}, {}, id="a colour"),
            pytest.param({}, {"bg_image_file": ("b.png", BLUE)}, id="a picture"),
        ],
    )
    async def test_zip_over_a_background(
        self, client: Client, fields: dict[str, str], files: dict[str, Any]
    ) -> None:
        """Clients that ask for PNG by way of ZIP put the two together again: what they get is opaque."""
        colour, alpha = unzipped((await client.remove(files, format="zip", **fields)).content)
        assert alpha.min() == 255
        assert np.abs(colour[2, 2].astype(int) - (255, 0, 0)).max() < 6

    async def test_json_of_a_zip(self, client: Client) -> None:
        answer = await client.http.post("/v1.0/removebg", files=FILE, data={"format": "zip"}, headers=JSON)
        unzipped(base64.b64decode(answer.json()["data"]["result_b64"]))

    async def test_alpha_alone(self, client: Client) -> None:
        answer = await client.remove(channels="alpha", format="auto", add_shadow="true")
        alpha = pixels(answer)
        assert answer.headers["content-type"] == "image/png"
        assert np.array_equal(alpha, pixels(await client.remove())[..., 3])


class TestBackgrounds:
    async def test_half_transparent_colour(self, client: Client) -> None:
        answer = await client.remove(bg_color="ff000080")
        assert answer.headers["content-type"] == "image/png"
        assert pixels(answer)[2, 2].tolist() == [0, 0, 255, 128]

    async def test_file(self, client: Client) -> None:
        answer = await client.remove({"bg_image_file": ("b.png", BLUE)}, format="png")
        assert pixels(answer)[2, 2].tolist() == [255, 0, 0]

    async def test_url(self, client: Client) -> None:
        answer = await client.http.post(
            "/v1.0/removebg", json={"image_url": URL, "bg_image_url": SKY_URL, "format": "png"}
        )
        assert pixels(answer)[2, 2].tolist() == [255, 0, 0]

    @pytest.mark.parametrize(
        ("image", "background", "code"),
        [
            pytest.param("https://img.example/none", SKY_URL, "failed_image_download", id="the image"),
            pytest.param(URL, "https://img.example/none", "failed_bg_download", id="the background"),
        ],
    )
    async def test_which_download_failed(
        self, client: Client, image: str, background: str, code: str
    ) -> None:
        answer = await client.http.post(
            "/v1.0/removebg", json={"image_url": image, "bg_image_url": background}
        )
        assert answer.status_code == 400
        assert only_error(answer)["code"] == code


async def test_the_clock_ends_before_clients_hang_up() -> None:
    """The Ruby gem waits 20 s for the first byte."""
    seen: list[float] = []

    class Told(FakeEngine):
        async def matte(self, rgb: Any, *, deadline: Any, **options: Any) -> Any:
            seen.append(deadline.remaining())
            return await super().matte(rgb, deadline=deadline, **options)

    async with serving({"limits": {"timeout": 60}}, engine=Told(), fetcher=web()) as served:
        assert (await served.http.post("/v1.0/removebg", files=FILE)).status_code == 200
        short = await served.http.post("/v1.0/removebg", files=FILE, headers={"X-Timeout": "5"})
        assert short.status_code == 200
    assert 10 < seen[0] <= 18
    assert seen[1] <= 5


async def test_head_of_account_is_get_without_a_body(client: Client) -> None:
    answer: httpx.Response = await client.http.head("/v1.0/account")
    assert (answer.status_code, answer.content) == (200, b"")
