"""npm's remove.bg 1.3.0, as it is published: it always asks for JSON."""

import base64
from pathlib import Path

import pytest

from tests.api.routes.removebg.sent import read
from tests.clients.conftest import PHOTO_URL, SKY_URL, Service, call_npm
from tests.fakes import photo

pytestmark = pytest.mark.clients
FILE = "removeBackgroundFromImageFile"
URL = "removeBackgroundFromImageUrl"
BASE64 = "removeBackgroundFromImageBase64"


def test_a_file(service: Service, folder: Path) -> None:
    told = call_npm(
        service, folder, FILE, {"path": "photo.jpg", "apiKey": service.rich, "outputFile": "out.png"}
    )["result"]
    saved = (folder / "out.png").read_bytes()
    assert base64.b64decode(told["base64img"]) == saved
    assert read(saved).shape == (360, 480, 4)
    facts = {name: told[name] for name in ("creditsCharged", "detectedType", "resultWidth", "resultHeight")}
    assert facts == {
        "creditsCharged": "0",
        "detectedType": "other",
        "resultWidth": "480",
        "resultHeight": "360",
    }


def test_the_rate_of_a_key_that_has_one(service: Service, folder: Path) -> None:
    options = {"path": "photo.jpg", "apiKey": service.hasty}
    first, second = (call_npm(service, folder, FILE, options) for _ in range(2))
    assert (first["result"]["rateLimit"], first["result"]["rateLimitRemaining"]) == ("1", "0")
    assert int(first["result"]["rateLimitReset"]) > 0
    assert second["rejected"][0]["code"] == "rate_limit_exceeded"


def test_a_url_with_every_option(service: Service, folder: Path) -> None:
    options = {
        "url": PHOTO_URL,
        "apiKey": service.rich,
        "size": "regular",
        "type": "product",
        "scale": "80%",
        "position": "50% 100%",
        "crop": True,
        "crop_margin": "10% 20px",
        "roi": "0% 0% 100% 100%",
        "bg_image_url": SKY_URL,
        "channels": "rgba",
        "add_shadow": True,
    }
    told = call_npm(service, folder, URL, options)["result"]
    image = read(base64.b64decode(told["base64img"]))
    assert image.shape == (int(told["resultHeight"]), int(told["resultWidth"]), 3)


def test_base64_over_a_colour(service: Service, folder: Path) -> None:
    options = {
        "base64img": base64.b64encode(photo(480, 360)).decode(),
        "apiKey": service.rich,
        "size": "hd",
        "bg_color": "#0000ff80",
    }
    told = call_npm(service, folder, BASE64, options)["result"]
    assert told["creditsCharged"] == "1"
    assert read(base64.b64decode(told["base64img"]))[2, 2].tolist() == [255, 0, 0, 128]


@pytest.mark.parametrize(
    ("function", "options", "code"),
    [
        pytest.param(FILE, {"path": "photo.jpg", "apiKey": "wrong"}, "auth_failed", id="a wrong key"),
        pytest.param(URL, {"url": "https://img.example/no"}, "failed_image_download", id="no such page"),
        pytest.param(
            URL,
            {"url": PHOTO_URL, "bg_image_url": "https://img.example/no"},
            "failed_bg_download",
            id="no such background",
        ),
        pytest.param(BASE64, {"base64img": "bm8="}, "invalid_file_type", id="no image"),
        pytest.param(FILE, {"path": "photo.jpg", "scale": "5%"}, "invalid_scale", id="a bad parameter"),
    ],
)
def test_rejects_with_the_errors_array(
    service: Service, folder: Path, function: str, options: dict[str, object], code: str
) -> None:
    (error,) = call_npm(service, folder, function, {"apiKey": service.rich} | options)["rejected"]
    assert error["code"] == code
    assert error["title"]
