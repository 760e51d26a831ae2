"""Who goes first where there is more work than cores: the loop, which admits, refuses and answers.

It needs a core for a millisecond at a time, and whatever waits for it meanwhile leaves its own core idle.
"""

import os
import sys

__all__ = ["after_the_loop"]

_NICENESS = 5


def after_the_loop() -> None:
    """Sets this thread, and threads and processes that it starts, behind the main one. Only on Linux."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        own, first = os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, os.getpid())
        # Never forward, which only the superuser may.
        os.setpriority(os.PRIO_PROCESS, 0, max(own, first + _NICENESS))
