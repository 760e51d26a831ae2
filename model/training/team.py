"""The processes that train together, started by torchrun; one alone where that did not start it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

__all__ = ["Team", "joined"]

_PATIENCE = timedelta(hours=2)
"""For the first process, which validates alone."""


@dataclass(frozen=True, slots=True)
class Team:
    """device: this process's own. rank: its number; the first, 0, writes files and talks. size: how many."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and talks."""
        return self.rank == 0


@contextmanager
def joined(device: torch.device) -> Iterator[Team]:
    """Joins the processes that torchrun started beside this one; each takes a GPU of its own."""
    if "WORLD_SIZE" not in os.environ:
        yield Team(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Team(device, distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
