"""objectcut cut: many photos, one at a time failing."""

import fcntl
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.commands.cut import cut_photos
from api.commands.photos import Folder, Photo, StandardOutput, find_photos
from api.errors import CorruptImage
from api.options import CutoutOptions
from api.pipeline import Job, Outcome
from postprocess.types import Encoded
from tests.fakes import CountingRemover


class Remover(CountingRemover):
    """Answers a photo's own bytes; bytes that begin with an error's name raise it."""

    def answer(self, job: Job, photo: bytes) -> Outcome:
        if photo == b"corrupt":
            raise CorruptImage("scan 3 ends early")
        if photo == b"bug":
            raise RuntimeError("a surprise")
        encoded = Encoded(b"cutout of " + photo, "image/png", 4, 3)
        return Outcome(encoded, model=job.options.model, bounding_box=None, timings={})


async def cut(photos: list[Photo], out: Path, **more: Any) -> tuple[int, dict[str, str | None], Remover]:
    remover, told = Remover(), dict[str, str | None]()

    def done(photo: Photo, error: str | None) -> None:
        told[photo.path.name] = error

    arguments = {"jobs": 2} | more
    failures = await cut_photos(remover, photos, Folder(out, photos), CutoutOptions(), done=done, **arguments)
    return failures, told, remover


def photos_in(folder: Path, **bodies: bytes) -> list[Photo]:
    for name, body in bodies.items():
        (folder / f"{name}.jpg").write_bytes(body)
    return find_photos([folder], recursive=False)


async def test_a_photo_that_fails_is_told_and_stops_no_other(tmp_path: Path) -> None:
    photos = photos_in(tmp_path, a=b"one", b=b"corrupt", c=b"bug", d=b"two")
    photos.append(Photo(tmp_path / "gone.jpg", Path("gone")))
    failures, told, _ = await cut(photos, tmp_path / "out")
    assert failures == 3
    assert told == {
        "a.jpg": None,
        "b.jpg": "The image is damaged or incomplete. (scan 3 ends early)",
        "c.jpg": "Something went wrong on our side. (RuntimeError: a surprise)",
        "d.jpg": None,
        "gone.jpg": "No such file or directory",
    }
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "a.png": b"cutout of one",
        "d.png": b"cutout of two",
    }


async def test_a_result_that_would_overwrite_another_costs_no_work(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    photos = photos_in(tmp_path, a=b"one") + photos_in(tmp_path / "more", a=b"two")
    failures, _, remover = await cut(photos, tmp_path / "out")
    assert failures == 1
    assert [job.source for job in remover.jobs] == [b"one"]
    assert (tmp_path / "out" / "a.png").read_bytes() == b"cutout of one"


@pytest.mark.parametrize("jobs", [pytest.param(1, id="one by one"), pytest.param(3, id="three at once")])
async def test_no_more_at_once_than_asked_for(tmp_path: Path, jobs: int) -> None:
    photos = photos_in(tmp_path, **{f"p{i}": b"photo" for i in range(9)})
    failures, told, remover = await cut(photos, tmp_path / "out", jobs=jobs)
    assert (failures, len(told), remover.most) == (0, 9, jobs)


async def test_nothing_is_stored_and_the_options_arrive(tmp_path: Path) -> None:
    _, _, remover = await cut(photos_in(tmp_path, a=b"one"), tmp_path / "out", background_image=b"a beach")
    assert remover.jobs == [Job(b"one", CutoutOptions(), background_image=b"a beach", store=False)]


async def test_standard_output_takes_the_bytes(tmp_path: Path, capfdbinary: Any) -> None:
    photos = photos_in(tmp_path, a=b"\xff one")
    await cut_photos(Remover(), photos, StandardOutput(), CutoutOptions(), jobs=1, done=lambda *_: None)
    assert capfdbinary.readouterr().out == b"cutout of \xff one"


@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc what it is doing")
def test_ctrl_c_ends_it_while_it_reads_standard_input(tmp_path: Path) -> None:
    # A process in the background may have handed down that it ignores SIGINT.
    code = "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(app(['cut', '-']))"
    command = [sys.executable, "-c", f"import signal, sys; from api.cli import app; {code}"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            assert child.stdin
            child.stdin.write(b"half a photo")
            child.stdin.flush()
            while not waits_for_more(child):
                assert child.poll() is None
                time.sleep(0.05)
            child.send_signal(signal.SIGINT)
            assert child.wait(20) == 130
        finally:
            child.kill()


def waits_for_more(child: "subprocess.Popen[bytes]") -> bool:
    """Whether it has read all that there is in the pipe, and sleeps."""
    assert child.stdin
    unread = fcntl.ioctl(child.stdin, termios.FIONREAD, bytes(4)) != bytes(4)
    state = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
    return not unread and state == "S"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["a.jpg"], "say where the results go", id="no folder"),
        pytest.param(["a.jpg", "b.jpg", "-o", "-"], "takes one photo", id="two photos to standard output"),
        pytest.param(["empty", "-o", "out"], "no photos there", id="a folder without photos"),
        pytest.param(["empty", "-r", "-o", "empty/out"], "no photos there", id="nothing but earlier results"),
        pytest.param(["a.jpg", "-o", "out", "--radius", "65"], "less than or equal to 64", id="out of range"),
        pytest.param(["a.jpg", "-o", "out", "--edges", "rough"], "'rough' is not one of", id="no choice"),
        pytest.param(
            ["a.jpg", "-o", "out", "--morphology", "melt"], "Input should be 'open'", id="no such operation"
        ),
        pytest.param(
            ["a.jpg", "-o", "out", "--format", "zip", "--output", "alpha"],
            "leave `output` out",
            id="contradiction",
        ),
        pytest.param(
            ["a.jpg", "-o", "out", "--background", "red", "--background-image", "a.jpg"],
            "not together",
            id="two backgrounds",
        ),
        pytest.param(["a.jpg", "-o", "out", "--model", "nope"], "there are lite", id="no such model"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty/out").mkdir(parents=True)
    Path("empty/out/a.png").write_bytes(b"a result")
    Path("a.jpg").write_bytes(b"a photo")
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["cut", *arguments])
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("out").exists()
