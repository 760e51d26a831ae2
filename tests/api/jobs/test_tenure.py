"""One process at a time, and none that is dead."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.jobs.tenure import tenure, until

HOLDER = """
import sys
from pathlib import Path
from api.jobs.tenure import tenure

with tenure(Path(sys.argv[1])) as attempt:
    print(attempt(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process(lock: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLDER, str(lock)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == "True\n"
        yield child
        child.kill()


async def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    lock = tmp_path / "jobs.lock"
    with tenure(lock) as attempt:
        with another_process(lock) as child:
            assert not attempt()
            child.kill()
            await until(attempt)
        assert attempt()


async def test_what_passes_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "not there yet" / "jobs.lock"
    with tenure(lock) as attempt:
        assert not attempt()
        assert not attempt()
        assert len(caplog.records) == 1
        lock.parent.mkdir()
        await until(attempt)


def test_it_is_given_back(tmp_path: Path) -> None:
    lock = tmp_path / "jobs.lock"
    with tenure(lock) as attempt:
        assert attempt()
    with another_process(lock):
        assert os.path.exists(lock)


async def test_nobody_who_does_not_try_makes_a_file(tmp_path: Path) -> None:
    with tenure(tmp_path / "jobs.lock"):
        pass
    assert os.listdir(tmp_path) == []
