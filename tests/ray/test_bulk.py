"""`objectcut bulk` on real clusters: every picture once, whatever dies meanwhile."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest

from api.bulk.manifest import FAILURES, SCHEMA
from api.bulk.places import OWN, Place, open_place
from tests.api.bulk.tables import files
from tests.api.storage.s3_listening import CREDENTIALS, s3_listening
from tests.ray.cluster import Nodes, ray_cluster

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

PICTURES = 80
ENVIRONMENT = {
    "OBJECTCUT_ENGINE__PRECISION": "float32",  # the quickest one is found out by each process for itself
    "OBJECTCUT_ENGINE__CORES": "1",
    "OMP_NUM_THREADS": "1",
}
OBJECTCUT = str(Path(sys.executable).with_name("objectcut"))


@dataclass
class Driver:
    """One `objectcut bulk` in a process of its own, and all the processes that it has started."""

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Driver":
        self.mark = uuid4().hex
        self.process = subprocess.Popen(
            [OBJECTCUT, "bulk", *self.arguments, "--cpus-per-worker", "1"],
            env=os.environ | ENVIRONMENT | self.environment | {"BULK_TEST": self.mark},
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()

    def reaches(self, condition: Callable[[], bool]) -> None:
        """Waits for it, while the run goes on."""
        wait_for(lambda: condition() or self.process.poll() is not None)
        assert self.process.returncode is None, self.process.communicate()[1]

    def ends(self) -> tuple[int, str]:
        """Its exit status and the last line that it says."""
        said = self.process.communicate(timeout=300)[1]
        return self.process.returncode, said.strip().splitlines()[-1]

    def processes(self, beginning: str = "") -> list[int]:
        """Of those that are there, the ones whose title begins so."""
        return _processes(f"BULK_TEST={self.mark}", beginning)


def _processes(variable: str, beginning: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = variable.encode() in (folder / "environ").read_bytes().split(b"\0")
            if ours and (folder / "cmdline").read_bytes().startswith(beginning.encode()):
                found.append(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn pictures in folders, two of them the same, two of them none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PICTURES):
        drawn = np.random.default_rng(number)
        bgr = np.clip(drawn.normal(150, 12, (240, 320, 3)), 0, 255).astype(np.uint8)
        colour = drawn.integers(0, 255, 3).tolist()
        cv2.ellipse(bgr, (160, 120), (60 + number % 30, 80), number * 7 % 180, 0, 360, colour, -1)
        path = folder / f"shelf {number % 5}" / f"{number:03}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), bgr)
    (folder / "shelf 4" / "twin.jpg").write_bytes((folder / "shelf 0" / "000.jpg").read_bytes())
    (folder / "junk.jpg").write_bytes(b"no picture")
    (folder / "short.jpg").write_bytes((folder / "shelf 1" / "001.jpg").read_bytes()[:3000])
    return folder


@pytest.fixture(scope="module")
def single(
    photos: Path, tmp_path_factory: pytest.TempPathFactory, figure: Callable[[str, str], None]
) -> dict[str, bytes]:
    """What one process makes of them."""
    out = tmp_path_factory.mktemp("single")
    began = time.monotonic()
    told = subprocess.run(
        [OBJECTCUT, "cut", "-r", str(photos), "-o", str(out)],
        env=os.environ | ENVIRONMENT | {"OBJECTCUT_ENGINE__CORES": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1, told.stderr
    figure("bulk: one process", f"{(PICTURES + 1) / (time.monotonic() - began):.1f}/s with its start")
    return files(open_place(str(out)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head without CPUs, so that every worker may be lost, and two more nodes."""
    with ray_cluster(head_cpus=0) as nodes:
        nodes.add()
        nodes.add()
        yield nodes


def results(target: Place) -> dict[str, bytes]:
    """While a run goes on, unfinished files may be gone as soon as they are listed."""
    names = target.listing()["name"].to_pylist()
    return {name: target.read(name, 10**6) for name in names if not name.startswith(OWN)}


def check(target: Place, single: dict[str, bytes]) -> None:
    """The very files of the single process, a row for every picture, nothing left behind."""
    found = results(target)
    assert found.keys() == single.keys()
    assert {
        name: difference(body, single[name]) for name, body in found.items() if body != single[name]
    } == {}
    assert len(files(target)) == len(found) + len(target.listing(f"{OWN}/manifest")) + 1
    lines = target.read(FAILURES, 10**6).decode().splitlines()
    assert ["unsupported_image" in lines[0], "corrupt_image" in lines[1], len(lines)] == [True, True, 2]


def difference(found: bytes, wanted: bytes) -> str:
    """What there is to say of two files that should be the same."""
    ours, theirs = (
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED) for file in (found, wanted)
    )
    if ours is None or theirs is None or ours.shape != theirs.shape:
        return f"{len(found)} bytes that are no such picture"
    off = cv2.absdiff(ours, theirs).max(axis=2)
    return f"{np.count_nonzero(off)} px by up to {off.max()}"


def rows(target: Place) -> Counter[tuple[str, str]]:
    """How many rows of the manifest there are of each name and status."""
    import pyarrow.dataset as ds

    table = ds.dataset(f"{target.root}/{OWN}/manifest", SCHEMA, filesystem=target.files).to_table()
    return Counter(zip(table["name"].to_pylist(), table["status"].to_pylist(), strict=True))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def some(target: Place, count: int) -> Callable[[], bool]:
    return lambda: len(results(target)) >= count


def test_a_cluster_makes_what_one_process_makes(
    cluster: Nodes,
    photos: Path,
    single: dict[str, bytes],
    tmp_path: Path,
    figure: Callable[[str, str], None],
) -> None:
    target = open_place(str(tmp_path / "out"))
    command = (str(photos), target.root, "--address", cluster.address)
    with Driver(command) as driver:
        status, said = driver.ends()
    assert status == 3
    assert said.startswith(f"{PICTURES + 1} done, 0 skipped, 2 failed, ")
    check(target, single)
    assert set(rows(target).values()) == {1}
    figure("two nodes", said.rpartition(", ")[2].removesuffix(" pictures/s") + "/s with the workers' start")
    with Driver(command) as driver:
        status, said = driver.ends()
    assert (status, said.split(", ")[:3]) == (3, ["0 done", f"{PICTURES + 1} skipped", "2 failed"])
    assert set(rows(target).values()) == {1}
    check(target, single)


def test_a_node_that_is_lost_loses_nothing(
    cluster: Nodes, photos: Path, single: dict[str, bytes], tmp_path: Path
) -> None:
    target = open_place(str(tmp_path / "out"))
    third = cluster.add()
    with Driver((str(photos), target.root, "--address", cluster.address)) as driver:
        driver.reaches(some(target, 10))
        cluster.lose(third)
        status, said = driver.ends()
    assert status == 3
    assert said.startswith(f"{PICTURES + 1} done, 0 skipped, 2 failed, ")
    check(target, single)
    assert set(rows(target).values()) == {1}


def test_workers_that_are_killed_lose_nothing(photos: Path, single: dict[str, bytes], tmp_path: Path) -> None:
    target = open_place(str(tmp_path / "out"))
    with Driver((str(photos), target.root)) as driver:
        for done in (5, 25):
            driver.reaches(some(target, done))
            os.kill(driver.processes("ray::MapWorker")[0], signal.SIGKILL)
        status, said = driver.ends()
        assert status == 3
        assert said.startswith(f"{PICTURES + 1} done, 0 skipped, 2 failed, ")
        wait_for(lambda: driver.processes() == [])
    check(target, single)
    assert set(rows(target).values()) == {1}


@pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGINT, 130, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, 130, id="asked to end"),
    ],
)
def test_a_run_that_is_cut_short_goes_on(
    photos: Path, single: dict[str, bytes], tmp_path: Path, end: signal.Signals, status: int
) -> None:
    target = open_place(str(tmp_path / "out"))
    with Driver((str(photos), target.root)) as driver:
        driver.reaches(lambda: len(target.listing(f"{OWN}/manifest")) > 0)
        if end == signal.SIGINT:
            os.killpg(driver.process.pid, end)  # as a terminal sends it
        else:
            driver.process.send_signal(end)
        assert driver.ends()[0] == status
        wait_for(lambda: driver.processes() == [])  # Ray's agents take a minute and a half to notice
    before = [status for _, status in rows(target)].count("done")
    assert 0 < before < PICTURES
    with Driver((str(photos), target.root)) as driver:
        ended, said = driver.ends()
    assert ended == 3
    check(target, single)
    assert set(rows(target).values()) == {1}, "what was done before is not done again"
    assert said.startswith(f"{PICTURES + 1 - before} done, {before} skipped, 2 failed, ")


@pytest.mark.parametrize(
    ("bites", "failed"),
    [
        pytest.param(3, set(), id="until it is alone"),
        pytest.param(6, {"trap.jpg"}, id="always"),
    ],
)
def test_a_picture_that_kills_its_workers_costs_no_other(
    photos: Path, tmp_path: Path, bites: int, failed: set[str]
) -> None:
    source, target = tmp_path / "in", open_place(str(tmp_path / "out"))
    (source / ".bites").mkdir(parents=True)
    for bite in range(bites):
        (source / ".bites" / str(bite)).touch()
    names = {"a.jpg", "b.jpg", "trap.jpg", "z.jpg"}
    for name in names:
        (source / name).write_bytes((photos / "shelf 0" / "000.jpg").read_bytes())
    told = subprocess.run(
        [sys.executable, "-m", "tests.ray.trapped", str(source), target.root],
        env=os.environ | ENVIRONMENT,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert list((source / ".bites").iterdir()) == []
    done = names - failed
    assert told.stdout.splitlines()[-1].startswith(f"{len(done)} done, 0 skipped, {len(failed)} failed, ")
    assert results(target).keys() == {Path(name).with_suffix(".png").name for name in done}
    assert rows(target) == {(name, "done"): 1 for name in done} | {(name, "failed"): 1 for name in failed}
    assert target.read(FAILURES, 10**6).count(b"worker_lost") == len(failed)


def test_from_a_bucket_into_a_bucket(
    photos: Path, single: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_listening("shop") as address:
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://{address}"}).items():
            monkeypatch.setenv(name, value)
        source, target = open_place("s3://shop/photos"), open_place("s3://shop/cut outs")
        for name, body in files(open_place(str(photos))).items():
            source.write(name, body, "image/jpeg")
        with Driver(("s3://shop/photos", "s3://shop/cut outs")) as driver:
            assert driver.ends()[0] == 3
        check(target, single)
        assert set(rows(target).values()) == {1}
        with Driver(("s3://shop/photos", "s3://shop/cut outs", "--retry-failed")) as driver:
            status, said = driver.ends()
        assert (status, said.split(", ")[:3]) == (3, ["0 done", f"{PICTURES + 1} skipped", "2 failed"])
        assert rows(target)["junk.jpg", "failed"] == 2
