"""What is known of devices: which there are, and what they compute in."""

from contextlib import AbstractContextManager

import torch

from model import failures, heap

__all__ = ["choose_device", "device_errors", "give_memory_back", "half_precisions"]


def choose_device(name: str) -> torch.device:
    """The device of that name, `cuda:1` for the second GPU; `auto` prefers a GPU.

    Raises ValueError when it is not there: a service that was promised a GPU must not crawl on a CPU.
    """
    there = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "cpu": 1,
    }
    if name == "auto":
        name = next(kind for kind, count in there.items() if count)
    device = torch.device(name)
    if (device.index or 0) >= there[device.type]:
        raise ValueError(f"the device '{name}' was asked for, and torch {torch.__version__} finds none here")
    return device


def half_precisions(device: torch.device) -> list[torch.dtype]:
    """Candidates, best first. A CPU without bfloat16 instructions emulates them, minutes per picture."""
    if device.type == "cuda":
        return [torch.float16, torch.bfloat16]
    if device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return [torch.bfloat16]
    return []


def give_memory_back() -> None:
    """Hands back what was freed: torch keeps GPU memory, and the C library the host's, for later use.

    After a load that is hundreds of megabytes of weights as they were read and widened.
    """
    torch.cuda.empty_cache()  # nothing where there is no CUDA
    heap.trim()


def device_errors() -> AbstractContextManager[None]:
    """See failures.device_errors. Memory that torch keeps of a GPU goes back first."""
    return failures.device_errors(torch.cuda.empty_cache)  # nothing where there is no CUDA
