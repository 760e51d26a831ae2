"""What there is to say of this process and of those that it has started."""

import gc
import os
import resource
from pathlib import Path

from api.types import Picture


def children(pid: int | str = "self") -> set[int]:
    """Processes that this one has started, or another, and that are there."""
    lists = (path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return {int(pid) for pids in lists for pid in pids}


def is_running(pid: int) -> bool:
    """Whether it is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def niceness(thread: int = 0) -> int:
    """Of a thread, or of a process's first one; 0: of the one that asks."""
    return os.getpriority(os.PRIO_PROCESS, thread)


def written_bytes(pid: int) -> tuple[int, int]:
    """Memory of a process that is no file's: what it shares with others, and what is its own."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return 1024 * kilobytes["Shared_Dirty"], 1024 * kilobytes["Private_Dirty"]


def resident_bytes(pid: int) -> int:
    """Memory of a process that is really there."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def pictures() -> int:
    """Decoded pictures that somebody in this process holds."""
    return sum(type(thing) is Picture for thing in gc.get_objects())
