"""What is sent again, when, and with which key. No time passes but the fake clock's."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

import objectcut_client as oc
from objectcut_client.retries import retry_after
from tests.clients_python.faces import Face, Sleeps, face
from tests.clients_python.fake_jobs import CUTOUT
from tests.fakes import FakeClock

Script = list[Any]
HALF: Callable[[], float] = lambda: 0.5  # noqa: E731
RETRIES = oc.Retries(attempts=4, base=1.0, cap=3.0, random=HALF)


class Scripted:
    """A service that answers by a script; of it the last line repeats."""

    def __init__(self, kind: str, script: Script, *, timeout: float = 60.0, takes: float = 0.0) -> None:
        self.requests: list[httpx.Request] = []
        self.sleeps = Sleeps(FakeClock())
        self._script = script
        self._takes = takes
        self._kind = kind
        self._timeout = timeout

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        transport = httpx.MockTransport(self._answer)
        settings: dict[str, Any] = {"timeout": self._timeout, "retries": RETRIES, "transport": transport}
        client: Face
        with face(self._kind, "http://cut.example", sleeps=self.sleeps, **settings) as client:
            return client(method, *args, **options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.sleeps.clock.now += self._takes
        line = self._script[min(len(self.requests), len(self._script)) - 1]
        if isinstance(line, Exception):
            raise line
        return httpx.Response(line[0], json=line[1], headers=line[2] if len(line) > 2 else None)


DONE = (201, CUTOUT)
BUSY = (429, {"code": "overloaded", "status": 429}, {"Retry-After": "7"})
IN_FLIGHT = (409, {"code": "idempotency_in_flight", "status": 409}, {"Retry-After": "2"})
DRAINING = (503, {"code": "draining", "status": 503})
BROKEN = (500, {"code": "internal_error", "status": 500})
GONE = (404, {"code": "not_found", "status": 404})
RESET = httpx.ReadError("reset")


@pytest.mark.parametrize(
    ("script", "pauses"),
    [
        pytest.param([DONE], [], id="at once"),
        pytest.param([DRAINING, DRAINING, DRAINING, DONE], [1.0, 1.5, 1.5], id="back-off to its cap"),
        pytest.param([BUSY, DONE], [7.0], id="no sooner than told"),
        pytest.param([IN_FLIGHT, DONE], [2.0], id="the first one is under way"),
        pytest.param([(502, "a proxy's page"), DONE], [1.0], id="a proxy"),
        pytest.param([httpx.ConnectError("refused"), DONE], [1.0], id="no connection"),
        pytest.param([httpx.ReadError("reset"), DONE], [1.0], id="a reset"),
    ],
)
def test_what_passes_is_tried_again_with_the_same_key(kind: str, script: Script, pauses: list[float]) -> None:
    service = Scripted(kind, script)
    assert service.call("cut", b"picture").id == "0.png"
    assert service.sleeps.seconds == pauses
    assert len({request.headers["idempotency-key"] for request in service.requests}) == 1
    assert len({request.read().count(b"picture") for request in service.requests}) == 1


def test_another_call_has_another_key(kind: str) -> None:
    service = Scripted(kind, [DONE])
    service.call("cut", b"picture")
    service.call("cut", b"picture")
    one, other = (request.headers["idempotency-key"] for request in service.requests)
    assert one != other


@pytest.mark.parametrize(
    ("script", "error", "sent"),
    [
        pytest.param([BROKEN], oc.ServerFailed, 1, id="a fault is not repeated"),
        pytest.param([(422, {"code": "corrupt_image"})], oc.ImageProblem, 1, id="nor a bad picture"),
        pytest.param([(409, {"code": "job_unfinished"})], oc.Conflict, 1, id="nor a conflict"),
        pytest.param([DRAINING], oc.Unavailable, 4, id="so many times and no more"),
        pytest.param([httpx.ConnectError("x")], oc.ConnectionFailed, 4, id="no connection at all"),
        pytest.param([(418, {"code": "teapot"})], oc.BadRequest, 1, id="a code of tomorrow"),
        pytest.param([(530, "a proxy's page")], oc.ServerFailed, 1, id="a proxy's fault"),
        pytest.param([(200, "no cutout")], TypeError, 1, id="nonsense"),
    ],
)
def test_what_does_not_is_told(kind: str, script: Script, error: type[Exception], sent: int) -> None:
    service = Scripted(kind, script)
    with pytest.raises(error):
        service.call("cut", b"picture")
    assert len(service.requests) == sent


@pytest.mark.parametrize(
    ("method", "argument"),
    [
        ("cut_bytes", b"picture"),
        ("download", "0.png"),
        ("delete", "0.png"),
        ("models", None),
        ("wait", "job0"),
    ],
)
def test_a_redirect_is_no_success(kind: str, method: str, argument: object) -> None:
    service = Scripted(kind, [(308, "a proxy's page", {"Location": "https://cut.example/v1"})])
    with pytest.raises(oc.ApiError, match=r"308.*https://cut\.example/v1") as caught:
        service.call(method, *[argument] if argument else [])
    assert (caught.value.status, service.sleeps.seconds) == (308, [])


@pytest.mark.parametrize(
    ("script", "sent"),
    [
        pytest.param([RESET, GONE], 2, id="a reset"),
        pytest.param([(502, "a proxy's page"), GONE], 2, id="a proxy"),
        pytest.param([(504, "a proxy's page"), GONE], 2, id="a proxy that waited"),
        pytest.param([RESET, DRAINING, GONE], 3, id="and more"),
    ],
)
def test_a_cutout_that_is_gone_after_an_answer_was_lost_is_deleted(
    kind: str, script: Script, sent: int
) -> None:
    service = Scripted(kind, script)
    service.call("delete", "0.png")
    assert len(service.requests) == sent


@pytest.mark.parametrize("script", [[GONE], [DRAINING, GONE]], ids=["at once", "after a clear answer"])
def test_a_cutout_that_was_never_there_is_not_found(kind: str, script: Script) -> None:
    with pytest.raises(oc.NotFound):
        Scripted(kind, script).call("delete", "0.png")


@pytest.mark.parametrize(
    ("script", "error", "sent"),
    [
        pytest.param([RESET, GONE], oc.ConnectionFailed, 1, id="a reset"),
        pytest.param([(502, "a proxy's page"), GONE], oc.Unavailable, 1, id="a proxy"),
        pytest.param([(504, "a proxy's page"), GONE], oc.Unavailable, 1, id="a proxy that waited"),
        pytest.param([DRAINING, RESET, GONE], oc.ConnectionFailed, 2, id="after a clear answer"),
    ],
)
def test_a_job_is_not_deleted_twice(kind: str, script: Script, error: type[Exception], sent: int) -> None:
    service = Scripted(kind, script)
    with pytest.raises(error):
        service.call("delete_job", "job0")
    assert len(service.requests) == sent


def test_a_job_that_was_not_deleted_in_time(kind: str) -> None:
    with pytest.raises(oc.TimedOut):
        Scripted(kind, [httpx.ReadTimeout("slow")], timeout=5, takes=5).call("delete_job", "job0")


def test_nobody_waits_for_what_would_come_too_late(kind: str) -> None:
    service = Scripted(kind, [BUSY], timeout=5)
    with pytest.raises(oc.Busy) as caught:
        service.call("models")
    assert (caught.value.retry_after, service.sleeps.seconds, len(service.requests)) == (7.0, [], 1)


def test_one_deadline_for_all_tries(kind: str) -> None:
    service = Scripted(kind, [httpx.ReadTimeout("slow")], timeout=10, takes=5)
    with pytest.raises(oc.TimedOut):
        service.call("models")
    told = [float(request.headers["x-timeout"]) for request in service.requests]
    assert told == [10.0, 4.0]  # a second's pause between


@pytest.mark.parametrize("silent", ["/v1/jobs/job0", "/v1/jobs/job0/events"])
def test_waiting_ends_in_time_when_nothing_is_said(kind: str, silent: str) -> None:
    sleeps = Sleeps(FakeClock())

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != silent:
            return httpx.Response(503)
        sleeps.clock.now += request.extensions["timeout"]["read"]
        raise httpx.ReadTimeout("silence")

    transport, begun = httpx.MockTransport(answer), sleeps.clock()
    with (
        face(kind, "http://cut.example", sleeps=sleeps, timeout=8.0, transport=transport) as client,
        pytest.raises(oc.TimedOut),
    ):
        client("wait", "job0", timeout=2.0)
    assert sleeps.clock() - begun <= 2.0


def test_pauses_stay_at_their_cap() -> None:
    assert RETRIES.pause(100_000, None) == 1.5


def test_an_answer_that_drips_is_cut_off(kind: str) -> None:
    sleeps = Sleeps(FakeClock())

    class Drip(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Any:
            while True:
                sleeps.clock.now += 1
                yield b" "

        async def __aiter__(self) -> Any:
            for part in self:
                yield part

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Drip()))
    with (
        face(kind, "http://cut.example", sleeps=sleeps, timeout=9.0, transport=transport) as client,
        pytest.raises(oc.TimedOut),
    ):
        client("models")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("3", 3.0, id="seconds"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, id="a date that is over"),
        pytest.param("Wed, 21 Oct 2115 07:28:00 GMT", pytest.approx(2.8e9, rel=0.2), id="a date"),
        pytest.param("soon", None, id="neither"),
        pytest.param("-1", None, id="below zero"),
    ],
)
def test_retry_after_has_two_forms(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}) == seconds
    assert retry_after({}) is None
