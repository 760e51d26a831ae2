"""The machine that figures were measured on, in words."""

import os
import platform
from pathlib import Path

import torch


def describe(device: torch.device) -> str:
    """Processor or GPU, cores, and the versions that matter."""
    cores = f"{len(os.sched_getaffinity(0))} cores"
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {_processor()}, {cores}, {versions}"
    return f"{_processor()}, {cores}, no GPU in use, {versions}"


def _processor() -> str:
    """Its model name, where the system tells."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
