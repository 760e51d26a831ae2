"""What works on pictures comes after what answers."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.priority import after_the_loop
from tests.api.small_server import small_server
from tests.fakes import photo
from tests.processes import children, niceness

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there has a thread a priority")


def test_a_thread_and_those_it_starts() -> None:
    found: list[int] = []

    def starts_another() -> None:
        thread = threading.Thread(target=lambda: found.append(niceness()))
        thread.start()
        thread.join()
        after_the_loop()  # once more: nobody falls further behind
        found.append(niceness())

    before = niceness()
    with ThreadPoolExecutor(1, initializer=after_the_loop) as threads:
        threads.submit(starts_another).result()
    assert found == [before + 5] * 2
    assert niceness() == before


def test_one_that_is_further_behind_stays_there() -> None:
    def reniced() -> int:
        os.setpriority(os.PRIO_PROCESS, 0, niceness() + 9)
        after_the_loop()
        return niceness()

    before = niceness()
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(reniced).result() == before + 9


def test_those_of_a_service(tmp_path: Path, unused_tcp_port: int) -> None:
    with small_server(tmp_path, unused_tcp_port) as (service, http):
        assert http.post("/v1/cutouts", content=photo()).is_success
        loop = niceness(service.pid)
        threads = [niceness(int(task.name)) for task in Path(f"/proc/{service.pid}/task").iterdir()]
        decoders = [niceness(process) for process in children(service.pid)]
    assert loop == niceness()
    assert loop + 5 in threads  # of who finishes a picture; others only wait
    assert decoders
    assert set(decoders) == {loop + 5}
