"""Who cuts: this process, or a service over its own API."""

import httpx
import pytest

from api.app import open_pipeline
from api.errors import UnsupportedImage
from api.paste.cutters import PipelineCutter, ServiceCutter
from api.paste.types import PasteFailed
from api.settings import Settings
from api.types import Deadline
from model.errors import Overloaded
from tests.api.routes.sent import PHOTO
from tests.fakes import BASE_URL, FakeEngine, InlineDecoder, memory_store
from tests.service import KEY, serving

PNG = b"\x89PNG"
AUTH = {"anonymous": False, "secret_access": KEY}


async def test_in_this_process() -> None:
    settings = Settings(anonymous=True, cpu_jobs=1)
    async with open_pipeline(
        settings, decoder=InlineDecoder(), engine=FakeEngine(), store=memory_store()
    ) as pipeline:
        cutter = PipelineCutter(pipeline, "lite")
        await cutter.wake()
        assert (await cutter.cut(PHOTO, Deadline.after(10))).startswith(PNG)
        with pytest.raises(UnsupportedImage):
            await cutter.cut(b"<html>", Deadline.after(10))


async def test_by_a_service() -> None:
    async with serving(AUTH) as served:
        cutter = ServiceCutter(served.http, BASE_URL + "/", "lite", KEY)
        await cutter.wake()
        assert (await cutter.cut(PHOTO, Deadline.after(10))).startswith(PNG)


@pytest.mark.parametrize(
    ("key", "photo", "engine", "reason"),
    [
        pytest.param("wrong", PHOTO, FakeEngine(), "A valid key", id="a wrong key"),
        pytest.param(KEY, b"<html>", FakeEngine(), "not an image format", id="no picture"),
        pytest.param(KEY, PHOTO, FakeEngine(fails=Overloaded()), "busy", id="busy"),
    ],
)
async def test_what_the_service_says_is_passed_on(
    key: str, photo: bytes, engine: FakeEngine, reason: str
) -> None:
    async with serving(AUTH, engine=engine) as served:
        with pytest.raises(PasteFailed, match=reason):
            await ServiceCutter(served.http, BASE_URL, "lite", key).cut(photo, Deadline.after(10))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"], ids=repr)
async def test_something_else_that_answers(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(500, content=body))
    async with httpx.AsyncClient(transport=transport) as http:
        cutter = ServiceCutter(http, BASE_URL, "lite")
        with pytest.raises(PasteFailed, match="status 500"):
            await cutter.wake()
        with pytest.raises(PasteFailed, match="status 500"):
            await cutter.cut(PHOTO, Deadline.after(10))


async def test_nobody_there(unused_tcp_port: int) -> None:
    async with httpx.AsyncClient() as http:
        cutter = ServiceCutter(http, f"http://127.0.0.1:{unused_tcp_port}", "lite")
        with pytest.raises(PasteFailed, match="does not answer: ConnectError"):
            await cutter.wake()
