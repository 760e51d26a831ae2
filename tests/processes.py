"""What the system says of this process and of those that it has started."""

import resource
from pathlib import Path


def children() -> set[int]:
    """Processes that this one has started, and that are there."""
    lists = (path.read_text().split() for path in Path("/proc/self/task").glob("*/children"))
    return {int(pid) for pids in lists for pid in pids}


def resident_bytes(pid: int) -> int:
    """Memory of a process that is really there."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
