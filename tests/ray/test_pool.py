"""The link to a pool, over a handle that answers what the test wants."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorUnavailableError, RayTaskError
from ray.serve.exceptions import BackPressureError
from ray.serve.schema import DeploymentStatus

from api.errors import InvalidOptions, ModelUnavailable, ObjectCutError, Overloaded
from api.fleet.config import WorkersConfig
from api.fleet.pool import PoolLink
from api.fleet.remote import RemoteEngine
from api.types import Deadline
from model import frame
from model.config import EngineConfig
from model.errors import DeadlineExceeded, InferenceFailed
from postprocess.types import Alpha

pytestmark = pytest.mark.ray

RGB = np.zeros((40, 60, 3), np.uint8)
ALPHA = np.full((320, 320), 0.5, np.float32)
GONE = ActorUnavailableError("it is gone", b"\0" * 16)
FAILED = RayTaskError("matte", "a traceback", ValueError("a fault of ours"))


@dataclass
class Call:
    """What a call of a handle gives."""

    work: Awaitable[Any]
    cancelled: int = 0

    def __await__(self) -> Generator[Any, None, Any]:
        return self.work.__await__()

    def cancel(self) -> None:
        self.cancelled += 1


@dataclass
class Handle:
    """Answers with what the script says, and then with an alpha. An answer that never comes is None."""

    script: list[Any] = field(default_factory=list)
    frames: list[frame.Header] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    app_name: str = "objectcut"
    deployment_name: str = "lite"

    @property
    def matte(self) -> SimpleNamespace:
        return SimpleNamespace(remote=self._matte)

    @property
    def facts(self) -> SimpleNamespace:
        return SimpleNamespace(remote=lambda _: Call(self._give({"resident": True})))

    def _matte(self, model: str, body: bytes, request_id: str | None) -> Call:
        self.frames.append(frame.Header.unpack(body))
        self.calls.append(Call(self._give(self.script.pop(0) if self.script else frame.pack_alpha(ALPHA))))
        return self.calls[-1]

    async def _give(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            await asyncio.sleep(60)
        return answer


def status(running: int = 1, state: str = "HEALTHY") -> Callable[[], Any]:
    """What Ray says."""
    states = {"RUNNING": running, "STARTING": 1}
    pool = SimpleNamespace(replica_states=states, status=DeploymentStatus(state), message="")
    application = SimpleNamespace(deployments={"lite": pool})
    return lambda: SimpleNamespace(applications={"objectcut": application})


async def engine_over(link: PoolLink) -> RemoteEngine:
    engine = RemoteEngine(EngineConfig(models=("lite", "basnet"), cores=1), [link])
    await engine.start()
    return engine


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a cluster to see that a replica is gone."""
    monkeypatch.setattr(PoolLink, "moment", 0.01)


@pytest.fixture
def handle() -> Handle:
    return Handle()


async def ask(handle: Handle, seconds: float = 10.0, **config: float) -> Alpha:
    link = PoolLink(handle, ("lite",), WorkersConfig.model_validate(config), status=status())
    engine = await engine_over(link)
    try:
        return await engine.matte(RGB, model="lite", deadline=Deadline.after(seconds))
    finally:
        await engine.close()
        assert engine.waiting == 0
        assert all(call.cancelled for call in handle.calls)


@pytest.mark.parametrize(
    ("script", "alone"),
    [
        pytest.param([], [False], id="at once"),
        pytest.param([GONE], [False, True], id="from a second replica"),
        pytest.param([FAILED], [False, True], id="after a fault of the first"),
        pytest.param(
            [{"code": "draining", "detail": None, "retry_after": None}], [False, True], id="one is leaving"
        ),
    ],
)
async def test_an_alpha(handle: Handle, script: list[Any], alone: list[bool]) -> None:
    handle.script = list(script)
    np.testing.assert_allclose(await ask(handle), ALPHA, atol=1e-5)
    assert [header.alone for header in handle.frames] == alone
    assert all(0 < header.seconds <= 10 for header in handle.frames)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        pytest.param([GONE, GONE], InferenceFailed, id="two replicas are lost with it"),
        pytest.param([FAILED, FAILED], ModelUnavailable, id="a fault of ours, twice"),
        pytest.param([BackPressureError(9, 8)], Overloaded, id="too many wait"),
        pytest.param(
            [{"code": "overloaded", "detail": None, "retry_after": 3.0}], Overloaded, id="its queue is full"
        ),
        pytest.param(
            [{"code": "invalid_options", "detail": "no", "retry_after": None}], InvalidOptions, id="refused"
        ),
    ],
)
async def test_an_error(handle: Handle, script: list[Any], error: type[Exception]) -> None:
    handle.script = list(script)
    with pytest.raises(error):
        await ask(handle)
    assert len(handle.frames) == len(script)


@pytest.mark.parametrize(
    ("seconds", "read_timeout", "error"),
    [
        pytest.param(0.2, 5.0, DeadlineExceeded, id="the request's time is over"),
        pytest.param(5.0, 0.2, ModelUnavailable, id="no replica answers"),
    ],
)
async def test_no_answer(handle: Handle, seconds: float, read_timeout: float, error: type[Exception]) -> None:
    handle.script = [None]
    with pytest.raises(error):
        await ask(handle, seconds, read_timeout=read_timeout)


@pytest.mark.parametrize(
    ("said", "served", "reason"),
    [
        pytest.param(status(2), {"resident": True, "replicas": 2}, None, id="two replicas"),
        pytest.param(status(0), {"resident": False, "replicas": 0}, None, id="none, and a picture wakes one"),
        pytest.param(status(0, "UNHEALTHY"), None, "no replica runs: UNHEALTHY", id="none that lives"),
        pytest.param(lambda: SimpleNamespace(applications={}), None, "no such deployment", id="no pool"),
    ],
)
async def test_what_is_known_of_it(
    handle: Handle,
    said: Callable[[], Any],
    served: dict[str, Any] | None,
    reason: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    link = PoolLink(handle, ("lite",), WorkersConfig(), status=said)
    engine = await engine_over(link)
    facts = engine.status()["models"]
    await engine.close()
    if served:
        assert served.items() <= facts["lite"].items()
    else:
        assert str(reason) in facts["lite"]["reason"]
    assert "another pool" in facts["basnet"]["reason"]
    assert engine.status()["ready"] is bool(served)


async def test_a_burst_of_losses_closes_nothing(handle: Handle) -> None:
    handle.script = [GONE] * 10
    link = PoolLink(handle, ("lite",), WorkersConfig(), status=status())
    engine = await engine_over(link)
    pictures = (engine.matte(RGB, model="lite", deadline=Deadline.after(10)) for _ in range(10))
    answers = await asyncio.gather(*pictures, return_exceptions=True)
    assert not [answer for answer in answers if isinstance(answer, ObjectCutError)]
    await engine.close()
