"""The arithmetic of the load tests, and the sender against servers that answer well, late and badly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.load.overload import Burst, Peak, percentile, recovery, share, verdicts
from tests.load.pictures import Photo, mixture
from tests.load.sender import Answer, Sender
from tests.load.soak import State
from tests.load.soak import verdicts as soak_verdicts

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PHOTO = Photo(b"x" * 1000, "image/jpeg")


def answer(status: int, began: float, seconds: float) -> Answer:
    return Answer(status, status == 429, began, began + seconds)


def test_goodput_counts_what_ends_in_the_window() -> None:
    good = [answer(200, second, 0.5) for second in range(20)]
    burst = Burst(3.0, 5.0, 15.0, [*good, answer(429, 6, 0.01), answer(503, 7, 0.1), answer(0, 8, 0.1)])
    assert burst.goodput == 1.0
    assert (len(burst.accepted), len(burst.shed), len(burst.bad)) == (20, 1, 2)


def test_goodput_is_held_against_both_peaks_on_the_cores_that_were_left() -> None:
    answers = [answer(200, i / 9, 0.0) for i in range(90)]
    peaks = [Peak(8.0, 0.0), Peak(12.0, 0.0)]
    assert share(peaks, Burst(30.0, 0.0, 10.0, answers), 2) == pytest.approx(0.9)
    # Whoever sends three times as much took a tenth of the machine, and none at the peak.
    assert share(peaks, Burst(30.0, 0.0, 10.0, answers, own_cores=0.2), 2) == pytest.approx(1.0)
    assert share([Peak(10.0, 0.2)], Burst(30.0, 0.0, 10.0, answers, own_cores=0.2), 2) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("goodput", "shed", "failed", "recovered", "met"),
    [
        pytest.param(1.0, 0.01, 0, 1.0, [True, True, True, True], id="as it should be"),
        pytest.param(0.8, 0.01, 0, 1.0, [False, True, True, True], id="too little goodput"),
        pytest.param(1.0, 0.09, 0, 1.0, [True, False, True, True], id="slow refusals"),
        pytest.param(1.0, 0.01, 1, 1.0, [True, True, False, True], id="a 5xx"),
        pytest.param(1.0, 0.01, 0, 9.0, [True, True, True, False], id="slow to recover"),
    ],
)
def test_bars(goodput: float, shed: float, failed: int, recovered: float, met: list[bool]) -> None:
    answers = [answer(200, i / 10, 0.0) for i in range(100)] + [answer(429, 1.0, shed)] * 50
    burst = Burst(30.0, 0.0, 10.0, answers + [answer(503, 1.0, 0.1)] * failed)
    assert [verdict.met for verdict in verdicts(goodput, burst, recovered)] == met


def test_nothing_shed_is_no_success() -> None:
    assert not verdicts(1.0, Burst(3.0, 0.0, 10.0, [answer(200, 1.0, 0.1)] * 10), 0.0)[1].met


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        pytest.param([answer(200, 10.5, 0.1)], 0.5, id="at once"),
        pytest.param([answer(200, 10.5, 0.9), answer(429, 12, 0.1), answer(200, 13, 0.1)], 3.0, id="later"),
        pytest.param([answer(200, 10.5, 0.1), answer(503, 11, 0.1)], float("inf"), id="never"),
    ],
)
def test_recovery(after: list[Answer], seconds: float) -> None:
    assert recovery(0.1, after, 10.0) == seconds


def test_percentiles() -> None:
    answers = [answer(200, 0.0, ms / 1000) for ms in range(1, 101)]
    assert percentile(answers, 0.5) == pytest.approx(51)
    assert percentile(answers, 0.99) == pytest.approx(100)


@pytest.mark.parametrize(
    ("last", "met"),
    [
        pytest.param(State(510.0, 22, 17), [True, True, True, True], id="as before"),
        pytest.param(State(600.0, 20, 18), [False, True, True, True], id="memory"),
        pytest.param(State(500.0, 23, 18), [True, False, True, True], id="descriptors"),
        pytest.param(State(500.0, 20, 21), [True, True, False, True], id="threads"),
    ],
)
def test_leaks_are_seen(last: State, met: list[bool]) -> None:
    verdicts = soak_verdicts([State(500.0, 20, 18), last], [])
    assert [verdict.met for verdict in verdicts] == met


def test_the_mixture_has_every_format() -> None:
    assert {photo.media_type for photo in mixture()} == {"image/jpeg", "image/png", "image/webp"}


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[int]:
    """A server on the loopback, and its port."""
    running = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]


def answering(text: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)
        writer.write(text)
        writer.close()

    return talk


@pytest.mark.parametrize(
    ("text", "status", "shed"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, False, id="served"),
        pytest.param(
            b"HTTP/1.1 429 -\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n", 429, True, id="shed politely"
        ),
        pytest.param(b"HTTP/1.1 429 -\r\nContent-Length: 0\r\n\r\n", 429, False, id="shed rudely"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", 0, False, id="half an answer"),
        pytest.param(b"", 0, False, id="nothing"),
    ],
)
async def test_what_becomes_of_a_request(text: bytes, status: int, shed: bool) -> None:
    async with server(answering(text)) as port:
        told = await Sender(port, [PHOTO]).send()
    assert (told.status, told.shed) == (status, shed)


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        await answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(reader, writer)

    async with server(slow) as port:
        answers = await Sender(port, [PHOTO]).open_loop(100, 0.3)
    assert len(answers) > 10
    assert max(each.began for each in answers) - min(each.began for each in answers) < 0.5
    assert all(each.good for each in answers)


async def test_a_form_holds_the_photo() -> None:
    bodies: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        bodies.append(await reader.readexactly(int(head.split(b"content-length:")[1].split()[0])))
        assert b"content-type: multipart/form-data; boundary=" in head
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with server(talk) as port:
        assert (await Sender(port, [PHOTO], path="/api/remove", field="file", more={"a": "1"}).send()).good
    assert PHOTO.data in bodies[0]
    assert b'name="file"; filename="photo"' in bodies[0]
    assert b'form-data; name="a"\r\n\r\n1\r\n--' in bodies[0]
