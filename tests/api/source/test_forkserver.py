"""The process that the others come from."""

import asyncio
import errno
import os
import signal
import socket
import sys

import numpy as np
import pytest

from api.errors import CorruptImage
from api.source.isolation import DecodePool
from api.source.sandbox import FORK, NUMBER, forked
from tests.api.source.conftest import LIMITS, Victim
from tests.api.source.files import encode, scene
from tests.api.source.hostile import ENTRY
from tests.processes import children, is_running, written_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's, and what is shared")

SCENE = scene()
PHOTO = encode(SCENE, "PNG")


async def parent(victim: Victim) -> int:
    return int(await victim.says("parent"))


async def test_who_takes_a_dead_ones_place_comes_from_the_same(victim: Victim) -> None:
    before = await parent(victim)
    with pytest.raises(CorruptImage):
        await victim.decode(b"exit")
    assert await parent(victim) == before
    assert before in children()


async def test_it_has_one_thread(victim: Victim) -> None:
    """A fork of more would hold locks that nobody opens."""
    assert os.listdir(f"/proc/{(pid := await parent(victim))}/task") == [str(pid)]


async def test_what_the_libraries_take_is_in_memory_once() -> None:
    pool = DecodePool(LIMITS, workers=2, entry=ENTRY)
    await pool.start()
    shared, own = written_bytes(int(await Victim(pool).says("pid")))
    await pool.close()
    assert shared > 4 * own > 0


async def test_its_death_is_no_files_fault(victim: Victim) -> None:
    first = await parent(victim)
    jobs = [asyncio.create_task(victim.decode(PHOTO)) for _ in range(6)]
    os.kill(first, 9)
    for picture in await asyncio.gather(*jobs):
        assert np.array_equal(picture.rgb, SCENE)
    assert await parent(victim) != first
    assert first not in children()


async def test_who_is_told_to_stop_along_with_the_service_still_serves_it(victim: Victim) -> None:
    first, pid = await parent(victim), int(await victim.says("pid"))
    for each in (first, pid):
        os.kill(each, signal.SIGTERM)
    assert int(await victim.says("pid")) == pid
    assert await parent(victim) == first


async def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.source.forkserver._PATIENCE", 0.2)
    pool = DecodePool(LIMITS, workers=1, entry=ENTRY)
    await pool.start()
    first = await parent(Victim(pool))
    os.kill(first, signal.SIGSTOP)
    await pool.close()
    assert first not in children()


async def test_no_process_outlives_it(victim: Victim) -> None:
    pid = int(await victim.says("pid"))
    os.kill(await parent(victim), 9)
    for _ in range(100):
        if not is_running(pid):
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("it is still there")
    assert np.array_equal((await victim.decode(PHOTO)).rgb, SCENE)


async def test_the_dead_do_not_pile_up(victim: Victim) -> None:
    for _ in range(5):
        with pytest.raises(CorruptImage):
            await victim.decode(b"exit")
    assert 1 <= len(children(await parent(victim))) <= 2


def test_no_room_for_another_process_costs_that_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("os.fork", full)
    ours, theirs = socket.socketpair()
    waiting, given = socket.socketpair()
    with theirs, waiting, given, open(os.devnull, "rb") as memory:
        with ours:
            for _ in range(2):
                socket.send_fds(ours, [NUMBER.pack(FORK)], [given.fileno(), memory.fileno()])
        given.close()
        assert forked(theirs) is None
        assert waiting.recv(1) == b""
