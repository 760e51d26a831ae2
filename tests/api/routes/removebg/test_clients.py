"""What clients that cannot be run here send, and what they do with the answer: read in their sources.

The Ruby gem remove_bg 2.2, the Go command remove-bg/go, brilam/remove-bg at its head, remove-bg-cli for Node
and the shell scripts of remove-bg/integration. tests/clients runs those that can be.
"""

from typing import Any

import httpx
import numpy as np
import pytest

from tests.api.routes.removebg.conftest import Client
from tests.api.routes.removebg.sent import BLUE, FILE, PHOTO, URL, pixels, unzipped
from tests.fakes import FakeEngine
from tests.service import serving

GO = {"User-Agent": "remove-bg-go-1.0", "Accept-Encoding": "gzip"}
NODE = dict.fromkeys(
    (
        "type_level",
        "roi",
        "crop",
        "crop_margin",
        "scale",
        "position",
        "add_shadow",
        "semitransparency",
        "bg_color",
    ),
    "",
) | {"size": "auto", "type": "auto", "channels": "rgba", "format": "zip"}
# Each header that the Ruby gem reads, and how.
RUBY_METADATA = {"X-Type": str, "X-Width": int, "X-Height": int, "X-Credits-Charged": float}
RUBY_RATE = {"X-RateLimit-Limit": int, "X-RateLimit-Remaining": int, "X-RateLimit-Reset": int}


def ruby_error_title(answer: httpx.Response) -> str:
    """ApiClient#parse_error_message: `JSON.parse(body)["errors"].first["title"]`."""
    title = answer.json()["errors"][0]["title"]
    assert isinstance(title, str)
    return title


class TestRubyGem:
    async def test_remove_from_file(self, client: Client) -> None:
        """With libvips or ImageMagick at hand `format: "png"` becomes a ZIP without a word."""
        answer = await client.remove(size="auto", format="zip")
        assert "application/zip" in answer.headers["Content-Type"]
        for name, kind in (RUBY_METADATA | RUBY_RATE).items():
            assert kind(answer.headers[name]) is not None
        colour, alpha = unzipped(answer.content)
        assert (
            colour.shape[:2]
            == alpha.shape
            == (int(answer.headers["X-Height"]), int(answer.headers["X-Width"]))
        )

    async def test_remove_from_url(self, client: Client) -> None:
        files = {"image_url": (None, URL), "size": (None, "auto"), "bg_color": (None, "#ff0000")}
        answer = await client.http.post("/v1.0/removebg", files=files)
        assert "application/zip" not in answer.headers["Content-Type"]
        assert pixels(answer).shape[:2] == (64, 96)

    async def test_account_info_takes_no_other_keywords(self, client: Client) -> None:
        body = (await client.http.get("/v1.0/account")).json()
        attributes = body["data"]["attributes"]
        assert sorted(attributes) == ["api", "credits"]
        assert sorted(attributes["credits"]) == ["enterprise", "payg", "subscription", "total"]
        assert sorted(attributes["api"]) == ["free_calls", "sizes"]

    @pytest.mark.parametrize(
        ("request_", "headers", "title"),
        [
            pytest.param({"files": FILE}, {"X-Api-Key": "no"}, "API Key invalid", id="403"),
            pytest.param(
                {"data": {"image_url": "https://img.example/404"}},
                {},
                "Failed to download image from given image_url",
                id="400",
            ),
            pytest.param({"data": {}}, {}, "No image given", id="no image"),
        ],
    )
    async def test_client_http_error(
        self, client: Client, request_: dict[str, Any], headers: dict[str, str], title: str
    ) -> None:
        answer = await client.http.post("/v1.0/removebg", **request_, headers=headers)
        assert 400 <= answer.status_code < 500
        assert ruby_error_title(answer).startswith(title)

    async def test_server_http_error(self) -> None:
        async with serving(engine=FakeEngine(fails=ZeroDivisionError())) as served:
            answer = await served.http.post("/v1.0/removebg", files=FILE)
            assert 500 <= answer.status_code < 600
            assert ruby_error_title(answer)


class TestGoCommand:
    async def test_png_by_way_of_zip(self, client: Client) -> None:
        """`alpha.At(x, y).(color.Gray)` panics on anything but 8-bit grey: `unzipped` looks at the header."""
        fields = {"size": "auto", "type": "", "channels": "", "bg_color": "", "format": "zip"}
        answer = await client.http.post("/v1.0/removebg", files=FILE, data=fields, headers=GO)
        colour, alpha = unzipped(answer.content)
        # As composite() does: the colours with the matte for their alpha.
        composed = np.dstack([colour, alpha])
        assert composed.shape == (64, 96, 4)
        assert (composed[32, 48, 3], composed[0, 0, 3]) == (255, 0)

    async def test_background_file(self, client: Client) -> None:
        answer = await client.remove({"bg_image_file": ("b.png", BLUE)}, size="auto", format="png")
        assert pixels(answer)[2, 2].tolist() == [255, 0, 0]

    async def test_200_is_the_only_success(self, client: Client) -> None:
        assert (await client.remove()).status_code == 200


class TestNodeCommand:
    async def test_every_field_and_most_of_them_empty(self, client: Client) -> None:
        unzipped((await client.remove(**NODE)).content)

    async def test_what_its_message_is_made_of(self, client: Client) -> None:
        answer = await client.remove(**NODE | {"scale": "5%"})
        error = answer.json()["errors"][0]
        assert error["code"] == "invalid_scale"
        assert (
            f"{error['title']} - {error['detail']}" == "Invalid scale - scale: not a share from 10% to 100%."
        )


class TestBrilamHead:
    async def test_a_file_with_its_defaults(self, client: Client) -> None:
        """Zeros without a unit; `crop_margin`, `scale` and the like are left out when they are None."""
        fields = {
            "size": "regular",
            "type": "auto",
            "type_level": "none",
            "format": "auto",
            "roi": "0 0 100% 100%",
            "crop": "false",
            "scale": "original",
            "position": "original",
            "channels": "rgba",
            "add_shadow": "false",
            "semitransparency": "true",
        }
        answer = await client.remove(**fields)
        assert pixels(answer).shape == (64, 96, 4)

    async def test_booleans_as_python_writes_them(self, client: Client) -> None:
        answer = await client.remove(crop="True", semitransparency="False")
        assert pixels(answer).shape[0] < 64


@pytest.mark.parametrize("name", ["X-API-Key", "x-api-key", "X-API-KEY"])
async def test_the_key_s_header_in_any_case(client: Client, name: str) -> None:
    key = client.http.headers.pop("X-Api-Key")
    answer = await client.http.post(
        "/v1.0/removebg", files={"image_file": ("image_file", PHOTO)}, headers={name: key}
    )
    assert answer.status_code == 200


async def test_a_bearer_will_do(client: Client) -> None:
    key = client.http.headers.pop("X-Api-Key")
    answer = await client.http.get("/v1.0/account", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
