"""Processes that may die, and a service that does not notice."""

import asyncio
import errno
import gc
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from api.errors import (
    CorruptImage,
    DeadlineExceeded,
    Draining,
    ImageTooLarge,
    ObjectCutError,
    Overloaded,
    PayloadTooLarge,
    UnsupportedImage,
)
from api.source.decode import decode
from api.source.forkserver import Family, ForkServer
from api.source.isolation import DecodePool, IsolationConfig
from api.types import Picture
from model.deadline import Deadline
from tests.api.source.conftest import LIMITS, Victim
from tests.api.source.files import encode, scene
from tests.api.source.hostile import ENTRY
from tests.processes import children, is_running

SCENE = scene()
PHOTO = encode(SCENE, "PNG")


class TestPictures:
    async def test_they_come_back_as_decode_makes_them(self, victim: Victim) -> None:
        picture = await victim.decode(PHOTO)
        assert np.array_equal(picture.rgb, SCENE)
        assert picture.alpha is None
        assert picture.rgb.flags.writeable
        assert picture.rgb.flags.c_contiguous

    @pytest.mark.parametrize("size", [(1, 1), (3, 5), (640, 480), (1_000, 2_000)])
    async def test_with_their_alpha(self, victim: Victim, size: tuple[int, int]) -> None:
        pixels = np.dstack([scene(*size), scene(*size)[..., 1]])
        picture, expected = await victim.decode(encode(pixels, "PNG")), decode(encode(pixels, "PNG"), LIMITS)
        assert picture.alpha is not None
        assert expected.alpha is not None
        assert np.array_equal(picture.rgb, expected.rgb)
        assert np.array_equal(picture.alpha, expected.alpha)
        assert picture.alpha.flags.aligned

    async def test_each_is_its_own_and_can_be_written_to(self, victim: Victim) -> None:
        first, second = await victim.decode(PHOTO), await victim.decode(PHOTO)
        first.rgb[:] = 0
        for _ in range(4):  # through the memory of every process
            await victim.decode(encode(255 - SCENE, "PNG"))
        assert np.array_equal(second.rgb, SCENE)
        assert np.array_equal((await victim.decode(PHOTO)).rgb, SCENE)

    async def test_they_outlive_the_pool(self) -> None:
        pool = DecodePool(LIMITS, workers=1)
        await pool.start()
        picture = await pool.decode(PHOTO, deadline=Deadline.after(30))
        await pool.close()
        assert np.array_equal(picture.rgb, SCENE)

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            pytest.param(b"hello", UnsupportedImage, id="unsupported"),
            pytest.param(b"", UnsupportedImage, id="empty"),
            pytest.param(PHOTO[:200], CorruptImage, id="corrupt"),
            pytest.param(encode(Image.new("1", (3_000, 3_000)), "PNG"), ImageTooLarge, id="too_large"),
            pytest.param(bytes(LIMITS.max_pixels * 7 + 1), PayloadTooLarge, id="more_than_there_is_room_for"),
        ],
    )
    async def test_errors_are_decodes_own(
        self, victim: Victim, data: bytes, error: type[ObjectCutError]
    ) -> None:
        with pytest.raises(ObjectCutError) as direct:
            decode(data, LIMITS)
        with pytest.raises(error) as isolated:
            await victim.decode(data)
        assert (str(isolated.value), isolated.value.public) == (str(direct.value), direct.value.public)

    async def test_warnings_reach_the_services_log(
        self, victim: Victim, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        assert await victim.says("warn") == "warned"
        assert "a note for the log" in caplog.text

    async def test_a_process_writes_to_nobodys_terminal(
        self, victim: Victim, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert await victim.says("noise") == "wrote"
        assert capfd.readouterr() == ("", "")


class TestCrashes:
    @pytest.mark.parametrize("deed", ["exit", "segfault", "abort", "signal", "spin"])
    async def test_one_costs_its_own_answer_and_no_other(self, victim: Victim, deed: str) -> None:
        neighbours = [asyncio.create_task(victim.decode(PHOTO)) for _ in range(4)]
        with pytest.raises(CorruptImage):
            await victim.decode(deed.encode())
        neighbours += [asyncio.create_task(victim.decode(PHOTO)) for _ in range(4)]
        for picture in await asyncio.gather(*neighbours):
            assert np.array_equal(picture.rgb, SCENE)

    async def test_many_at_once(self, victim: Victim) -> None:
        jobs = [victim.decode(b"exit" if n % 2 else PHOTO) for n in range(10)]
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [Picture, CorruptImage] * 5

    async def test_killed_from_outside_the_innocent_are_tried_again(
        self, victim: Victim, tmp_path: Path
    ) -> None:
        deed = b"once " + os.fsencode(tmp_path / "marker")
        with pytest.raises(CorruptImage, match="None"):  # the second time it came back
            await victim.decode(deed)

    async def test_a_process_that_died_while_idle_is_replaced_unnoticed(self, victim: Victim) -> None:
        for _ in range(4):
            os.kill(int(await victim.says("pid")), 9)
            assert np.array_equal((await victim.decode(PHOTO)).rgb, SCENE)

    async def test_too_much_memory_is_an_answer(self, victim: Victim) -> None:
        with pytest.raises(ImageTooLarge):
            await victim.decode(b"memory")
        assert np.array_equal((await victim.decode(PHOTO)).rgb, SCENE)

    async def test_our_own_bug_is_no_fault_of_the_file_but_ends_the_process(self, victim: Victim) -> None:
        with pytest.raises(CorruptImage):
            await victim.decode(b"bug")
        assert np.array_equal((await victim.decode(PHOTO)).rgb, SCENE)


class TestLimits:
    async def test_a_file_over_its_time_is_killed(self, victim: Victim) -> None:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await victim.decode(b"sleep 60", seconds=0.3)
        assert time.monotonic() - began < 5
        assert np.array_equal((await victim.decode(PHOTO)).rgb, SCENE)

    async def test_no_time_left_starts_nothing(self) -> None:
        pool = DecodePool(LIMITS, workers=1)
        await pool.start()
        before = children()
        with pytest.raises(DeadlineExceeded):
            await pool.decode(PHOTO, deadline=Deadline.after(0))
        assert np.array_equal((await pool.decode(PHOTO, deadline=Deadline.after(20))).rgb, SCENE)
        assert children() == before
        await pool.close()

    async def test_more_than_the_queue_holds_is_turned_away(self) -> None:
        pool = DecodePool(LIMITS, IsolationConfig(max_queue=1), workers=1, entry=ENTRY)
        await pool.start()
        jobs = [asyncio.create_task(pool.decode(b"sleep 0.5", deadline=Deadline.after(20))) for _ in range(4)]
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)
        assert (
            sorted(type(outcome).__name__ for outcome in outcomes)
            == ["CorruptImage"] * 2 + ["Overloaded"] * 2
        )
        assert any(isinstance(outcome, Overloaded) and outcome.retry_after for outcome in outcomes)
        assert np.array_equal((await pool.decode(PHOTO, deadline=Deadline.after(20))).rgb, SCENE)
        await pool.close()

    async def test_waiting_in_the_queue_counts(self) -> None:
        pool = DecodePool(LIMITS, workers=1, entry=ENTRY)
        await pool.start()
        long = asyncio.create_task(pool.decode(b"sleep 1", deadline=Deadline.after(20)))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await pool.decode(PHOTO, deadline=Deadline.after(0.2))
        assert time.monotonic() - began < 0.8
        await asyncio.gather(long, return_exceptions=True)
        await pool.close()

    async def test_a_caller_who_leaves_frees_a_place(self) -> None:
        pool = DecodePool(LIMITS, IsolationConfig(max_queue=1), workers=1, entry=ENTRY)
        await pool.start()
        deadline = Deadline.after(20)
        running = asyncio.create_task(pool.decode(b"sleep 0.3", deadline=deadline))
        queued = asyncio.create_task(pool.decode(PHOTO, deadline=deadline))
        await asyncio.sleep(0.05)
        queued.cancel()
        await asyncio.gather(queued, return_exceptions=True)
        assert np.array_equal((await pool.decode(PHOTO, deadline=deadline)).rgb, SCENE)
        await asyncio.gather(running, return_exceptions=True)
        await pool.close()

    def test_a_wrong_setting_is_refused(self) -> None:
        for setting in ({"max_queue": -1}, {"cpu_seconds": 0}, {"memory_bytes": 0}, {"wrokers": 1}):
            with pytest.raises(ValidationError):
                IsolationConfig(**setting)


class TestLife:
    async def test_close_finishes_what_was_accepted_and_takes_nothing_new(self) -> None:
        pool = DecodePool(LIMITS, workers=1, entry=ENTRY)
        await pool.start()
        accepted = [asyncio.create_task(pool.decode(PHOTO, deadline=Deadline.after(20))) for _ in range(3)]
        await asyncio.sleep(0)
        await pool.close()
        assert all(np.array_equal(picture.rgb, SCENE) for picture in await asyncio.gather(*accepted))
        with pytest.raises(Draining):
            await pool.decode(PHOTO, deadline=Deadline.after(20))
        await pool.close()

    async def test_a_process_that_cannot_start_stops_the_start(self) -> None:
        before = children()
        pool = DecodePool(LIMITS, workers=1, entry="api.source.nowhere:decode")
        with pytest.raises(RuntimeError, match="did not start"):
            await pool.start()
        assert children() == before

    async def test_nothing_is_left(self) -> None:
        def state() -> tuple[int, int]:
            gc.collect()
            return len(os.listdir("/proc/self/fd")), threading.active_count()

        before, family = state(), children()
        for _ in range(2):
            pool = DecodePool(LIMITS, workers=2, entry=ENTRY)
            await pool.start()
            jobs = [pool.decode(data, deadline=Deadline.after(20)) for data in [PHOTO, b"exit", b"hello"] * 4]
            await asyncio.gather(*jobs, return_exceptions=True)
            with pytest.raises(DeadlineExceeded):
                await pool.decode(b"sleep 9", deadline=Deadline.after(0.2))
            await pool.close()
        assert children() == family
        fds, threads = state()
        assert fds <= before[0] + 2
        assert threads <= before[1] + 4  # asyncio.to_thread's own

    async def test_a_large_picture_leaves_no_more_behind_than_a_small_one(self) -> None:
        """Of the memory that is shared with the process, which stays for the next file."""
        limits = LIMITS.model_copy(update={"max_pixels": 1_960_000})
        pool = DecodePool(limits, workers=1)
        await pool.start()
        pixels = np.dstack([scene(1_400, 1_400), scene(1_400, 1_400)[..., 1]])
        picture = await pool.decode(encode(pixels, "PNG"), deadline=Deadline.after(30))
        assert picture.alpha is not None
        assert picture.rgb.nbytes + picture.alpha.nbytes > 13_000_000
        assert 0 < resident_of_file("memfd:pictures", 7 * limits.max_pixels) <= 8 << 20
        await pool.close()
        assert resident_of_file("memfd:pictures", 7 * limits.max_pixels) == 0

    @pytest.mark.parametrize(
        "launch",
        [
            pytest.param(lambda script: [sys.executable, str(script)], id="a_script_without_a_main_guard"),
            pytest.param(lambda script: [sys.executable, "-c", script.read_text()], id="a_command_line"),
        ],
    )
    def test_whoever_starts_it(self, tmp_path: Path, launch: Callable[[Path], list[str]]) -> None:
        script = tmp_path / "service.py"
        script.write_text(PROGRAM.format(photo=PHOTO, after="pass"))
        here = {**os.environ, "PYTHONPATH": os.getcwd()}
        done = subprocess.run(
            launch(script), env=here, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr, done.returncode) == ("once\n(48, 64, 3)\n", "", 0)

    def test_processes_end_with_a_service_that_was_killed(self) -> None:
        command = [sys.executable, "-c", PROGRAM.format(photo=b"pid", after="time.sleep(60)")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
            assert service.stdout is not None
            assert service.stdout.readline() == "once\n"
            pid = int(service.stdout.readline())
            service.kill()
        for _ in range(100):
            if not is_running(pid):
                return
            time.sleep(0.1)
        pytest.fail("the process has outlived the service")


PROGRAM = """
import asyncio, time
print("once", flush=True)
from api.source.limits import DecodeLimits
from api.source.forkserver import Family, ForkServer
from api.source.isolation import DecodePool
from model.deadline import Deadline

async def main():
    pool = DecodePool(DecodeLimits(), workers=1, entry="tests.api.source.hostile:decode")
    await pool.start()
    try:
        print((await pool.decode({photo!r}, deadline=Deadline.after(50))).rgb.shape)
    except Exception as exc:
        print(exc, flush=True)
    {after}
    await pool.close()

asyncio.run(main())
"""


def resident_of_file(name: str, size: int) -> int:
    """Bytes in memory of the files of that name and size that this process has open."""
    files = (Path("/proc/self/fd", number) for number in os.listdir("/proc/self/fd"))
    found = (file.stat() for file in files if file.exists() and name in os.fspath(file.readlink()))
    return sum(stat.st_blocks * 512 for stat in found if stat.st_size == size)


async def test_a_process_that_cannot_be_started_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = DecodePool(LIMITS, workers=1)
    await pool.start()
    failures = [OSError(errno.EMFILE, "too many open files")]
    fork = Family.fork

    def failing(family: Family, sock: socket.socket, memory: int) -> ForkServer:
        if failures:
            raise failures.pop()
        return fork(family, sock, memory)

    await pool.decode(PHOTO, deadline=Deadline.after(30))
    monkeypatch.setattr(Family, "fork", failing)
    child = pool._slots[0]._child
    assert child
    child.kill()
    with pytest.raises(Overloaded):
        await pool.decode(PHOTO, deadline=Deadline.after(30))
    assert np.array_equal((await pool.decode(PHOTO, deadline=Deadline.after(30))).rgb, SCENE)
    await pool.close()
