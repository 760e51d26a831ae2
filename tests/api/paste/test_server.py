"""ar-cutpaste's contract: what its phone application sends, and what it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import cv2
import httpx
import numpy as np
import pytest

from api.errors import ObjectCutError
from api.limits import RequestLimits
from api.paste.server import PasteServer
from api.paste.types import Cutter, Paste, PasteFailed, Target
from api.types import Deadline
from model.errors import ModelUnavailable, Overloaded
from postprocess.types import RGB
from tests.api.paste.screens import HEIGHT, WIDTH, room, screen, shot
from tests.fakes import BASE_URL, InlineDecoder, photo

SHOWN = screen(1)
SHOT = shot(SHOWN, 1)
CUTOUT = cv2.imencode(".png", np.full((64, 48, 4), 255, np.uint8))[1].tobytes()


def jpeg(rgb: RGB) -> dict[str, tuple[str, bytes]]:
    return {"data": ("view.jpg", cv2.imencode(".jpg", rgb[..., ::-1])[1].tobytes())}


@dataclass
class FakeCutter:
    fails: Exception | None = None

    async def wake(self) -> None:
        if self.fails:
            raise self.fails

    async def cut(self, photo: bytes, deadline: Deadline) -> bytes:
        deadline.check("cutting")
        if self.fails:
            raise self.fails
        return CUTOUT


@dataclass
class Recorder:
    """A target that remembers."""

    fails: Exception | None = None
    pasted: list[Paste] = field(default_factory=list)

    async def paste(self, paste: Paste) -> str:
        if self.fails:
            raise self.fails
        self.pasted.append(paste)
        return "recorded"


class Shown:
    def grab(self) -> RGB:
        return SHOWN


class NoScreen:
    def grab(self) -> RGB:
        raise PasteFailed("there is no screen here")


@asynccontextmanager
async def phone(
    *targets: Target, cutter: Cutter | None = None, screen: Shown | NoScreen | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """What the application's requests go through."""
    limits = RequestLimits(body_bytes=500_000)
    server = PasteServer(cutter or FakeCutter(), InlineDecoder(), screen or Shown(), targets, limits)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app()), base_url=BASE_URL) as http:
        yield http


async def test_hello_and_ping() -> None:
    async with phone() as http:
        assert (await http.get("/")).text == "Hello AR Cut Paste!"
        assert (await http.get("/ping")).text == "pong"


async def test_cut_and_paste() -> None:
    target, another = Recorder(), Recorder()
    async with phone(target, another) as http:
        cut = await http.post("/cut", files={"data": ("photo.jpg", photo(256, 256))})
        assert (cut.status_code, cut.headers["content-type"], cut.content) == (200, "image/png", CUTOUT)
        answer = await http.post("/paste", files=jpeg(SHOT.view))
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["status"], body["pasted"]) == ("ok", ["recorded", "recorded"])
        assert np.hypot(body["x"] - SHOT.x, body["y"] - SHOT.y) < 0.01 * np.hypot(WIDTH, HEIGHT)
        (pasted,) = target.pasted
        assert another.pasted == [pasted]
        assert (pasted.screen, pasted.png) == ((WIDTH, HEIGHT), CUTOUT)
        assert pasted.picture.rgb.shape == (64, 48, 3)


async def test_screen_not_found() -> None:
    target = Recorder()
    async with phone(target) as http:
        await http.post("/cut", files={"data": photo()})
        answer = await http.post("/paste", files=jpeg(room(1)))
        assert (answer.status_code, answer.json()) == (200, {"status": "screen not found"})
        assert target.pasted == []


@pytest.mark.parametrize("path", ["/cut", "/paste"])
@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        pytest.param({"files": {"image": photo()}}, 400, "missing file param `data`", id="another name"),
        pytest.param({"files": {"data": b""}}, 400, "empty image", id="without a byte"),
        pytest.param({"files": {"data": b"x" * 600_000}}, 413, "over 500000 bytes", id="too large"),
        pytest.param(
            {"files": {"data": photo()}, "headers": {"Origin": "https://evil.example"}},
            403,
            "web pages",
            id="from a page",
        ),
    ],
)
async def test_requests_that_are_refused(
    path: str, request_: dict[str, object], status: int, text: str
) -> None:
    async with phone() as http:
        answer = await http.post(path, **request_)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["status"]) == (status, "error")
        assert text in answer.json()["error"]


@pytest.mark.parametrize(
    "data", [pytest.param(b"<html>", id="a page"), pytest.param(photo()[:99], id="half")]
)
async def test_a_view_that_is_no_picture(data: bytes) -> None:
    async with phone() as http:
        await http.post("/cut", files={"data": photo()})
        answer = await http.post("/paste", files={"data": data})
        assert (answer.status_code, answer.json()["status"]) == (400, "error")


async def test_paste_before_cut() -> None:
    async with phone() as http:
        answer = await http.post("/paste", files=jpeg(SHOT.view))
        assert (answer.status_code, answer.json()) == (
            400,
            {"status": "error", "error": "nothing has been cut out yet"},
        )


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        pytest.param(PasteFailed("the service is away"), 502, "the service is away", id="the service"),
        pytest.param(ModelUnavailable("pull it"), 503, "pull it", id="no model"),
        pytest.param(Overloaded("x"), 429, "busy", id="busy"),
        pytest.param(ZeroDivisionError("/a/path"), 500, ObjectCutError.title, id="a bug"),
    ],
)
async def test_a_cut_that_fails(error: Exception, status: int, text: str) -> None:
    async with phone(cutter=FakeCutter(error)) as http:
        answer = await http.post("/cut", files={"data": photo()})
        assert (answer.status_code, answer.json()["status"]) == (status, "error")
        assert text in answer.json()["error"]
        assert "/a/path" not in answer.text


async def test_ping_tells_that_nobody_cuts() -> None:
    async with phone(cutter=FakeCutter(PasteFailed("asleep"))) as http:
        answer = await http.get("/ping")
        assert (answer.status_code, answer.json()["error"]) == (502, "asleep")


async def test_a_target_that_fails_is_told_and_the_earlier_ones_have_it() -> None:
    file = Recorder()
    async with phone(file, Recorder(fails=PasteFailed("Photoshop does not answer"))) as http:
        await http.post("/cut", files={"data": photo()})
        answer = await http.post("/paste", files=jpeg(SHOT.view))
        assert (answer.status_code, answer.json()["error"]) == (502, "Photoshop does not answer")
        assert len(file.pasted) == 1


async def test_without_a_screen() -> None:
    async with phone(screen=NoScreen()) as http:
        await http.post("/cut", files={"data": photo()})
        answer = await http.post("/paste", files=jpeg(SHOT.view))
        assert (answer.status_code, answer.json()["error"]) == (502, "there is no screen here")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/cut", 405)])
async def test_other_routes_fail_in_the_same_shape(method: str, path: str, status: int) -> None:
    async with phone() as http:
        answer = await http.request(method, path)
        assert (answer.status_code, answer.json()["status"]) == (status, "error")
