"""PyPI's removebg 0.04, remove-bg-api 0.2.1 and removebg-cli 1.0.0, as they are published."""

import base64
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.api.routes.removebg.sent import read, unzipped
from tests.clients.conftest import PHOTO_URL, Service, call_python, run
from tests.clients.install import PYTHON
from tests.fakes import photo

pytestmark = pytest.mark.clients
PHOTO = photo(480, 360)
BASE64 = base64.b64encode(PHOTO).decode()
NONE: dict[str, Any] = {}


class TestRemovebg:
    """`pip install removebg`: three calls, whose default is size=regular."""

    def call(self, service: Service, folder: Path, *calls: object, key: str | None = None) -> list[Any]:
        return call_python(service, folder, "removebg.removebg", [key or service.rich, "errors.log"], calls)

    def test_a_file(self, service: Service, folder: Path) -> None:
        (told,) = self.call(service, folder, ["remove_background_from_img_file", ["photo.jpg"], NONE])
        assert told == {"result": None}
        assert read((folder / "photo.jpg_no_bg.png").read_bytes()).shape == (360, 480, 4)

    def test_a_url(self, service: Service, folder: Path) -> None:
        (told,) = self.call(service, folder, ["remove_background_from_img_url", [PHOTO_URL], NONE])
        assert told == {"result": None}
        assert read((folder / "no-bg.png").read_bytes()).shape == (360, 480, 4)

    def test_base64_over_a_colour(self, service: Service, folder: Path) -> None:
        named = {"size": "4k", "bg_color": "00ff00", "new_file_name": "green.jpg"}
        (told,) = self.call(service, folder, ["remove_background_from_base64_img", [BASE64], named])
        assert told == {"result": None}
        image = read((folder / "green.jpg").read_bytes())
        assert image.shape == (360, 480, 3)
        assert image[3, 3, 1] > 240

    @pytest.mark.parametrize(
        ("key", "method", "arguments", "status"),
        [
            pytest.param("wrong", "remove_background_from_img_file", ["photo.jpg"], 403, id="a wrong key"),
            pytest.param(None, "remove_background_from_img_url", ["nowhere"], 400, id="no URL"),
            pytest.param(None, "remove_background_from_base64_img", ["bm8="], 400, id="no image"),
        ],
    )
    def test_failures_are_http_errors(
        self, service: Service, folder: Path, key: str | None, method: str, arguments: list[str], status: int
    ) -> None:
        (told,) = self.call(service, folder, [method, arguments, NONE], key=key)
        assert (told["error"], told["status"]) == ("HTTPError", status)


class TestRemoveBgApi:
    """`pip install remove-bg-api`: asks for /account when it is made, and reads credits with int()."""

    def call(self, service: Service, folder: Path, *calls: object, key: str | None = None) -> list[Any]:
        return call_python(service, folder, "remove_bg_api", [key or service.rich], calls)

    def test_the_account(self, service: Service, folder: Path) -> None:
        balance, credits, free = self.call(
            service,
            folder,
            ["account.balance", [], NONE],
            ["account.get_balance_dict", [], NONE],
            ["account.free_api_calls", [], NONE],
        )
        assert 0 < balance["result"] <= 10
        assert list(credits["result"]) == ["total", "subscription", "payg", "enterprise"]
        assert free["result"] == 0

    def test_bytes_and_the_balance_that_it_keeps_itself(self, service: Service, folder: Path) -> None:
        source = {"bytes": BASE64}
        before, preview, between, full, after, told = self.call(
            service,
            folder,
            ["account.balance", [], NONE],
            ["remove_bg_bytes", [source], NONE],
            ["account.balance", [], NONE],
            ["remove_bg_bytes", [source], {"size": "full"}],
            ["account.balance", [], NONE],
            ["account.get_balance_dict", [], NONE],
        )
        assert read(base64.b64decode(preview["result"])).shape == (360, 480, 4)
        assert read(base64.b64decode(full["result"])).shape == (360, 480, 4)
        assert before["result"] == between["result"] == after["result"] + 1 == told["result"]["total"] + 1

    def test_a_file_a_url_and_base64(self, service: Service, folder: Path) -> None:
        told = self.call(
            service,
            folder,
            ["remove_bg_file", ["photo.jpg"], {"raw": False, "out_path": "file.png"}],
            ["remove_bg_url", [PHOTO_URL], {"raw": False, "out_path": "url.png"}],
            ["remove_bg_base64", [BASE64], {"raw": False, "out_path": "base64.png"}],
            ["remove_bg_file", ["photo.jpg"], {"data": {"format": "zip", "size": "preview"}}],
        )
        names = ["file.png", "url.png", "base64.png"]
        assert [each["result"] for each in told[:3]] == names
        for name in names:
            assert read((folder / name).read_bytes()).shape == (360, 480, 4)
        unzipped(base64.b64decode(told[3]["result"]))

    @pytest.mark.parametrize(
        ("key", "calls", "error"),
        [
            pytest.param("wrong", [], "ApiErrorCode403", id="a wrong key"),
            pytest.param(
                "rich", [["remove_bg_url", ["https://img.example/no"], NONE]], "ApiErrorCode400", id="400"
            ),
            pytest.param(
                "poor", [["remove_bg_file", ["photo.jpg"], {"size": "full"}]], "ApiErrorCode402", id="402"
            ),
            pytest.param("hasty", [["account.refresh_balance", [], NONE]], "ApiErrorCode429", id="429"),
        ],
    )
    def test_failures_are_its_own_errors(
        self, service: Service, folder: Path, key: str, calls: list[object], error: str
    ) -> None:
        told = self.call(service, folder, *calls, key=getattr(service, key, key))
        assert told[-1]["error"] == error


class TestRemovebgCli:
    """`pip install removebg-cli`: the command `removebg`, with three hard-coded addresses."""

    def command(
        self, service: Service, folder: Path, *arguments: str, key: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        command = PYTHON.with_name("removebg")
        if not command.exists():
            pytest.skip("not installed: make test-clients")
        return run(
            [command, *arguments], service, folder, REMOVE_BG_API_KEY=key or service.rich, PYTHONUTF8="1"
        )

    def test_a_file_with_its_defaults(self, service: Service, folder: Path) -> None:
        done = self.command(service, folder, "photo.jpg")
        assert done.returncode == 0, done.stdout
        assert read((folder / "photo-nobg.png").read_bytes()).shape == (360, 480, 4)
        assert "1 credits" in done.stdout

    def test_every_option(self, service: Service, folder: Path) -> None:
        options = ("-s", "preview", "-f", "webp", "-b", "white", "-c", "--shadow", "-o", "out/a.webp")
        done = self.command(service, folder, PHOTO_URL, *options)
        assert done.returncode == 0, done.stdout
        image = read((folder / "out" / "a.webp").read_bytes())
        assert image.shape[0] < 360
        assert image[0, 0].min() > 180

    def test_zip(self, service: Service, folder: Path) -> None:
        done = self.command(service, folder, "photo.jpg", "-s", "preview", "-f", "zip")
        assert done.returncode == 0, done.stdout
        unzipped((folder / "photo-nobg.zip").read_bytes())

    def test_account(self, service: Service, folder: Path) -> None:
        done = self.command(service, folder, "--account")
        assert done.returncode == 0, done.stdout
        assert "Credits" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "key", "text"),
        [
            pytest.param(["photo.jpg"], "wrong", "[403]: API Key invalid", id="a wrong key"),
            pytest.param(["--account"], "wrong", "API Key", id="a wrong key's account"),
            pytest.param(["photo.jpg", "-s", "full"], "poor", "[402]: Insufficient credits", id="402"),
            pytest.param(["photo.jpg", "-b", "mauvish"], "rich", "[400]: Invalid bg_color", id="400"),
        ],
    )
    def test_failures_say_why(
        self, service: Service, folder: Path, arguments: list[str], key: str, text: str
    ) -> None:
        done = self.command(service, folder, *arguments, key=getattr(service, key, key))
        assert done.returncode == 1
        assert text in done.stdout
