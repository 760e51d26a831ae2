import asyncio
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.errors import DeadlineExceeded, NotFound, StoreFull, StoreUnavailable
from api.storage import LocalStore, UrlSigner, local, served
from api.storage.local import store_error
from api.types import Deadline
from tests.api.storage.putter import body_of
from tests.contract.served_store import BASE_URL, ServedStoreContract
from tests.contract.store import TTL, Clock, Make, key_of, picture, soon

Open = Callable[..., LocalStore]


@dataclass
class Disk:
    """A file system of a size of our own. bytes."""

    total: int
    free: int

    def __call__(self, path: Path) -> "Disk":
        assert path.is_dir()
        return self


ROOMY = Disk(total=10**12, free=10**12)


def opened(directory: Path, clock: Clock, **options: object) -> LocalStore:
    signer = UrlSigner([b"k" * 32], BASE_URL, clock=clock)
    return LocalStore(directory, signer, clock=clock, **({"disk_usage": ROOMY} | options))  # type: ignore[arg-type]


class TestLocalStore(ServedStoreContract):
    @pytest.fixture
    def make(self, clock: Clock, tmp_path: Path) -> Make:
        return lambda ttl: opened(tmp_path / "new" / "data", clock, ttl_seconds=ttl)


def files_of(directory: Path, folder: str) -> list[Path]:
    return sorted((directory / folder).iterdir())


def run_putter(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.api.storage.putter", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


# Half-written files and killed processes


async def test_killed_in_the_middle_of_many_puts_leaves_only_whole_objects(tmp_path: Path) -> None:
    stored = []
    with run_putter(tmp_path, 100_000) as child:
        assert child.stdout is not None
        for line in child.stdout:
            stored.append(line.split()[0])
            if len(stored) == 100:
                child.kill()
                break
    assert child.returncode == -9
    # What a kill inside a write leaves, which this one may have missed.
    (tmp_path / "temp" / f"{key_of('half')}.0123456789abcdef").write_bytes(b"objectcut/1\n")

    store = opened(tmp_path, Clock(time.time()))
    await store.start()
    assert files_of(tmp_path, "temp") == []
    visible = {path.name for path in files_of(tmp_path, "objects")}
    assert {key_of(name) for name in stored} <= visible
    names = {key_of(f"object-{number}"): f"object-{number}" for number in range(len(visible) + 1)}
    for key in visible:
        assert await store.read(key, deadline=soon()) == (body_of(names[key]), "image/png")
    await store.put(key_of("next"), picture(), facts={}, deadline=soon())
    await store.close()


async def test_processes_share_a_folder(tmp_path: Path) -> None:
    with run_putter(tmp_path, 60) as one, run_putter(tmp_path, 60) as other:
        store = opened(tmp_path, Clock(time.time()))
        while one.poll() is None or other.poll() is None:
            await store.sweep()  # a third one, which must not take the files of the living for abandoned
            for path in files_of(tmp_path, "objects"):
                await store.read(path.name, deadline=soon())  # whatever is visible is whole
        outputs = [child.stdout.read() for child in (one, other) if child.stdout is not None]
    assert [output.count("stored\n") for output in outputs] == [60, 60]
    for number in range(60):
        body, _ = await store.read(key_of(f"object-{number}"), deadline=soon())
        assert body == body_of(f"object-{number}")
    assert files_of(tmp_path, "temp") == []
    await store.close()


async def test_a_writer_may_tidy_up_in_the_middle_of_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, Clock())
    (tmp_path / "temp" / f"{key_of('late')}.0").touch()

    def its_writer_was_quicker(path: Path) -> bool:
        path.unlink()
        return True

    monkeypatch.setattr("api.storage.local._abandoned", its_writer_was_quicker)
    assert await store.sweep() == 0
    await store.close()


async def test_slower_of_two_writers_keeps_the_bytes_of_the_faster(tmp_path: Path) -> None:
    clock = Clock(time.time())

    class DiskOfTheSlower(Disk):
        """Asked when the object was not there yet and is about to be written."""

        def __call__(self, path: Path) -> Disk:
            asyncio.run(put_by_another())
            return self

    async def put_by_another() -> None:
        faster = opened(tmp_path, clock)
        await faster.put(key_of("a"), picture(b"faster"), facts={"n": "1"}, deadline=soon())
        await faster.close()

    slower = opened(tmp_path, clock, disk_usage=DiskOfTheSlower(10**12, 10**12))
    await slower.put(key_of("a"), picture(b"slower"), facts={"n": "2"}, deadline=soon())
    assert (await slower.read(key_of("a"), deadline=soon()))[0] == b"faster"
    assert dict((await slower.find(key_of("a"), deadline=soon())).facts) == {"n": "1"}
    await slower.close()


async def test_survives_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    first = opened(tmp_path, clock)
    link = await first.put(key_of("a"), picture(b"bytes"), facts={"n": "1"}, deadline=soon())
    await first.close()
    second = opened(tmp_path, clock)
    found = await second.find(key_of("a"), deadline=soon())
    assert (found.link, found.size, dict(found.facts)) == (link, 5, {"n": "1"})
    await second.close()


# Damage


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 0x01
    return bytes(changed)


DAMAGE = [
    pytest.param(lambda data: flipped(data, 0), id="bit of the magic"),
    pytest.param(lambda data: flipped(data, 20), id="bit of the checksum"),
    pytest.param(lambda data: flipped(data, 44), id="bit of the header's length"),
    pytest.param(lambda data: flipped(data, 60), id="bit of the header"),
    pytest.param(lambda data: flipped(data, -1), id="bit of the body"),
    pytest.param(lambda data: data[:-1], id="one byte short"),
    pytest.param(lambda data: data[:46], id="ends in the header's length"),
    pytest.param(lambda data: data + b"\0", id="one byte long"),
    pytest.param(lambda data: data[:0], id="empty"),
]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damaged_object_is_not_found_and_put_anew(
    tmp_path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock)
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    path = tmp_path / "objects" / key_of("a")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(NotFound):
        await store.read(key_of("a"), deadline=soon())
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert key_of("a") in caplog.text
    assert files_of(tmp_path, "objects") == []
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    assert (await store.read(key_of("a"), deadline=soon()))[0] == b"bytes"
    await store.close()


async def test_put_over_a_damaged_object_replaces_it(tmp_path: Path) -> None:
    store = opened(tmp_path, Clock(time.time()))
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    path = tmp_path / "objects" / key_of("a")
    path.write_bytes(flipped(path.read_bytes(), -1))
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    assert (await store.read(key_of("a"), deadline=soon()))[0] == b"bytes"
    await store.close()


# The disk


FULL_DISKS = [
    pytest.param(Disk(total=10**9, free=50_000_000), False, id="exactly the floor of bytes, object too much"),
    pytest.param(Disk(total=10**9, free=50_000_014), True, id="the object leaves the floor of bytes"),
    pytest.param(Disk(total=10**9, free=0), False, id="full"),
    pytest.param(Disk(total=10**12, free=10**10), False, id="exactly 1 %, object too much"),
    pytest.param(Disk(total=10**12, free=10**10 + 14), True, id="the object leaves 1 %"),
]


@pytest.mark.parametrize(("disk", "fits"), FULL_DISKS)
async def test_refuses_below_the_floor_of_free_space(tmp_path: Path, disk: Disk, fits: bool) -> None:
    store = opened(tmp_path, Clock(), disk_usage=disk)
    if fits:
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    else:
        with pytest.raises(StoreFull) as refused:
            await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        assert (refused.value.code, refused.value.status) == ("storage_full", 503)
        assert files_of(tmp_path, "objects") == files_of(tmp_path, "temp") == []
    await store.close()


async def test_full_disk_still_renews_reads_and_deletes(tmp_path: Path) -> None:
    disk = Disk(total=10**9, free=10**9)
    store = opened(tmp_path, Clock(), disk_usage=disk)
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    disk.free = 0
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    assert (await store.read(key_of("a"), deadline=soon()))[0] == b"bytes"
    await store.delete(key_of("a"), deadline=soon())
    await store.close()


def test_disk_that_fills_during_a_write_is_storage_full(tmp_path: Path) -> None:
    with run_putter(tmp_path, 3, 10_000) as child:
        output, _ = child.communicate(timeout=100)
    assert output.split() == [word for number in range(3) for word in (f"object-{number}", "storage_full")]
    assert files_of(tmp_path, "objects") == files_of(tmp_path, "temp") == []


def test_no_space_left_on_device_is_storage_full() -> None:
    with (
        pytest.raises(OSError, match="No space left") as full,
        open("/dev/full", "wb", buffering=0) as device,
    ):
        device.write(b"x")
    error = store_error(full.value, "storing")
    assert isinstance(error, StoreFull)
    assert error.retry_after == 60


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_other_failures_of_the_disk_are_storage_unavailable(number: int) -> None:
    error = store_error(OSError(number, os.strerror(number)), "storing")
    assert (type(error), error.code) == (StoreUnavailable, "storage_unavailable")


async def test_folder_that_vanishes_is_storage_unavailable(tmp_path: Path) -> None:
    store = opened(tmp_path, Clock())
    (tmp_path / "temp").rmdir()
    with pytest.raises(StoreUnavailable):
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    await store.close()


def test_directory_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        opened(tmp_path / "file" / "data", Clock())


async def test_results_are_private_to_the_user(tmp_path: Path) -> None:
    store = opened(tmp_path / "data", Clock())
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    await store.close()


# The sweep


async def assert_emptied(directory: Path) -> None:
    """Waits, for ten seconds at most, until the sweeper has removed every object."""
    for _ in range(500):
        if files_of(directory, "objects") == []:
            break
        await asyncio.sleep(0.02)
    assert files_of(directory, "objects") == []


async def test_sweep_removes_the_expired_only(tmp_path: Path) -> None:
    clock = Clock()
    store = opened(tmp_path, clock, ttl_seconds=TTL)
    for name in ("old", "renewed"):
        await store.put(key_of(name), picture(), facts={}, deadline=soon())
    clock.now += TTL - 1
    for name in ("renewed", "young"):
        await store.put(key_of(name), picture(), facts={}, deadline=soon())
    clock.now += 1
    assert await store.sweep() == 1
    assert {path.name for path in files_of(tmp_path, "objects")} == {key_of("renewed"), key_of("young")}
    await store.close()


async def test_what_one_turn_leaves_the_next_one_follows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_SWEEP_LIMIT", 2)
    monkeypatch.setattr(served, "_MORE_SECONDS", 0.0)
    clock = Clock()
    store = opened(tmp_path, clock, ttl_seconds=TTL, sweep_seconds=3600)
    for name in "abcdefg":
        await store.put(key_of(name), picture(), facts={}, deadline=soon())
    clock.now += TTL
    await store.start()
    await assert_emptied(tmp_path)
    await store.close()


async def test_sweeps_by_itself_and_goes_on_after_a_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    store = opened(tmp_path, clock, ttl_seconds=TTL, sweep_seconds=0.01)
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    (tmp_path / "temp").rename(tmp_path / "elsewhere")
    await store.start()
    assert "sweep of the store failed" in caplog.text
    (tmp_path / "elsewhere").rename(tmp_path / "temp")
    clock.now += TTL
    await assert_emptied(tmp_path)
    await store.close()


# Deadlines and threads


async def test_stalled_disk_costs_the_deadline_and_no_further_thread(tmp_path: Path) -> None:
    released = threading.Event()

    class StalledDisk(Disk):
        def __call__(self, path: Path) -> Disk:
            released.wait(60)
            return self

    store = opened(tmp_path, Clock(), workers=2, disk_usage=StalledDisk(10**12, 10**12))
    attempts = [
        store.put(key_of(str(n)), picture(), facts={}, deadline=Deadline.after(0.2)) for n in range(10)
    ]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [DeadlineExceeded] * 10
    assert sum("local-store" in thread.name for thread in threading.enumerate()) == 2
    released.set()
    await store.put(key_of("next"), picture(), facts={}, deadline=soon())
    await store.close()


async def test_leaks_no_file_descriptors_and_no_threads(tmp_path: Path) -> None:
    def held() -> tuple[int, int]:
        threads = sum("local-store" in thread.name for thread in threading.enumerate())
        return len(os.listdir("/proc/self/fd")), threads

    before = held()
    for _ in range(20):
        store = opened(tmp_path, Clock(time.time()))
        await store.start()
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        await store.read(key_of("a"), deadline=soon())
        await store.delete(key_of("a"), deadline=soon())
        await store.close()
    assert held() == before
