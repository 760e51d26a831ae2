"""A worker's face: frames in, frames out, for whoever knows the token."""

import asyncio
from typing import Any

import numpy as np
import pytest

from api.environment import SettingsError
from api.fleet.settings import WorkerSettings
from api.fleet.worker import FRAME_TYPE, create_worker
from api.types import Deadline
from model import errors, frame
from postprocess.types import RGB, Alpha
from tests.api.fleet.workers import TOKEN, WorkersEngine, client_of, until, working
from tests.fakes import SIDE

PICTURE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
PATH = f"/v1/mattes/lite/{SIDE}x{SIDE}"
FRAME = frame.pack_picture(PICTURE, 10)


async def test_a_frame_in_a_frame_out() -> None:
    engine = WorkersEngine()
    async with working(engine) as worker, client_of(worker) as http:
        answer = await http.post(PATH, content=FRAME, headers={"X-Request-Id": "from-the-service"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, FRAME_TYPE)
        assert answer.headers["x-request-id"] == "from-the-service"
        alpha = frame.unpack_alpha(answer.content, (SIDE, SIDE))
        assert 0 == alpha.min() < alpha.max() == 1
        assert engine.seen == [(SIDE, SIDE, 3)]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        pytest.param(PATH, b"\xff\xd8\xff\xe0 a JPEG", 400, "invalid_options", id="an image file"),
        pytest.param(PATH, FRAME[:-1], 400, "invalid_options", id="a byte too few"),
        pytest.param("/v1/mattes/lite/32x64", FRAME, 400, "invalid_options", id="not what the path says"),
        pytest.param("/v1/mattes/lite/64", FRAME, 400, "invalid_options", id="no size"),
        pytest.param("/v1/mattes/lite/99999x1", FRAME, 400, "invalid_options", id="an endless size"),
        pytest.param("/v1/mattes/lite", FRAME, 404, "not_found", id="another path"),
        pytest.param(PATH, bytes(frame.MAX_BYTES + 1), 413, "payload_too_large", id="more than any frame"),
        pytest.param(PATH, frame.pack_picture(PICTURE, 0), 504, "deadline_exceeded", id="no time left"),
    ],
)
async def test_what_is_refused(path: str, body: bytes, status: int, code: str) -> None:
    engine = WorkersEngine()
    async with working(engine) as worker, client_of(worker) as http:
        answer = await http.post(path, content=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert engine.seen == []


async def test_a_picture_that_is_not_square_must_be_the_models_own() -> None:
    wide = np.zeros((32, 64, 3), np.uint8)
    async with working() as worker, client_of(worker) as http:
        answer = await http.post("/v1/mattes/lite/64x32", content=frame.pack_picture(wide, 5))
        assert answer.json()["detail"] == "model 'lite' takes no 64 x 32 px"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer another"}, id="another"),
        pytest.param({"Authorization": TOKEN}, id="no scheme"),
        pytest.param({"Authorization": f"Basic {TOKEN}"}, id="another scheme"),
        pytest.param({"Authorization": "Bearer é".encode()}, id="not ASCII"),
    ],
)
async def test_the_token_is_wanted(headers: dict[str, str]) -> None:
    engine = WorkersEngine()
    async with working(engine) as worker, client_of(worker) as http:
        del http.headers["authorization"]
        for answer in (
            await http.post(PATH, content=FRAME, headers=headers),
            await http.get(PATH, headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert engine.seen == []
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("token", [None, "", "short"])
def test_without_a_token_nothing_is_served(token: str | None) -> None:
    with pytest.raises(SettingsError, match="OBJECTCUT_WORKER_TOKEN"):
        create_worker(WorkerSettings.model_validate({"worker_token": token}), engine=WorkersEngine())


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(errors.Overloaded("full", retry_after=3), 429, "overloaded", id="overloaded"),
        pytest.param(errors.InferenceFailed("NaN"), 500, "inference_failed", id="failed"),
        pytest.param(errors.OutOfMemory("full"), 503, "out_of_memory", id="out of memory"),
        pytest.param(errors.DeviceLost("gone"), 503, "model_unavailable", id="device lost"),
    ],
)
async def test_the_engines_failures(error: Exception, status: int, code: str) -> None:
    async with working(WorkersEngine(fails=error)) as worker, client_of(worker) as http:
        answer = await http.post(PATH, content=FRAME)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert str(error) not in answer.text or code == "overloaded"


async def test_more_at_once_than_there_are_places() -> None:
    engine = WorkersEngine(holds=asyncio.Event())
    async with working(engine) as worker, client_of(worker) as http:
        held = [asyncio.create_task(http.post(PATH, content=FRAME)) for _ in range(4)]
        await until(lambda: engine.waiting == 4)
        answer = await http.post(PATH, content=FRAME)
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert engine.holds
        engine.holds.set()
        assert {(await each).status_code for each in held} == {200}


async def test_a_caller_that_leaves_takes_its_picture_along() -> None:
    engine = WorkersEngine(holds=asyncio.Event())
    async with working(engine) as worker, client_of(worker) as http:
        asked = asyncio.create_task(http.post(PATH, content=FRAME))
        await until(lambda: engine.waiting == 1)
        asked.cancel()
        await until(lambda: engine.cancelled == 1)
        assert engine.waiting == 0


async def test_the_frames_time_is_the_requests_time() -> None:
    seen: list[float] = []

    class Noting(WorkersEngine):
        async def matte(self, rgb: RGB, *, deadline: Deadline, **others: Any) -> Alpha:
            seen.append(deadline.remaining())
            return await super().matte(rgb, deadline=deadline, **others)

    async with working(Noting()) as worker, client_of(worker) as http:
        for seconds in (2.5, 900.0):
            assert (await http.post(PATH, content=frame.pack_picture(PICTURE, seconds))).status_code == 200
    assert 0 < seen[0] <= 2.5
    assert 2.5 < seen[1] <= 20, "no longer than the worker's own limit"


async def test_stopping_is_told_before_it_happens() -> None:
    async with working(drain_delay=2.5) as worker, client_of(worker) as http:
        assert (await http.get(PATH)).json()["warm"] is True
        assert (await http.get("/readyz")).status_code == 200
        worker.stop()
        assert (await http.get("/readyz")).status_code == 503
        told = await http.get(PATH)
        assert (told.status_code, told.json()["code"]) == (503, "draining")
        assert (await http.post(PATH, content=FRAME)).status_code == 200, "still served"
        await asyncio.wait_for(worker.task, 15)


async def test_models_that_would_not_be_served() -> None:
    async with working(WorkersEngine(ready=False)) as worker, client_of(worker) as http:
        lame = await http.get(PATH)
        assert (lame.status_code, lame.json()["code"]) == (503, "model_unavailable")
        unknown = await http.get(f"/v1/mattes/nope/{SIDE}x{SIDE}")
        assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_options")


async def test_a_lost_device_ends_the_worker() -> None:
    async with working() as worker:
        worker.service.lost = "lite: device-side assert"
        await asyncio.wait_for(worker.task, 5)


async def test_metrics() -> None:
    async with working() as worker, client_of(worker) as http:
        await http.post(PATH, content=FRAME)
        text = (await http.get("/metrics")).text
        assert (
            'objectcut_requests_total{method="POST",route="/v1/mattes/{model}/{size}",status="200"} 1.0'
            in text
        )
        assert "objectcut_in_flight 0.0" in text
