import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from model import heap

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 20, np.float32), np.ones(1 << 20, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

heap.keep()
faults()
kept = faults()
resident = int(open("/proc/self/statm").read().split()[1])
heap.trim()
print(kept, resident - int(open("/proc/self/statm").read().split()[1]))
"""
PAGES = 2 * (4 << 20) // 4096
"""Of the arrays of one round."""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc"
)
def test_memory_of_one_picture_is_kept_for_the_next_until_it_is_trimmed() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    kept, given_back = map(int, done.stdout.split())
    assert kept < PAGES  # of twenty rounds, less than the pages of one
    assert given_back > PAGES / 2
