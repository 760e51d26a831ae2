"""How much of a cluster the workers take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.bulk.run import Stop

__all__ = ["Share", "Wanted", "fitting"]

_CPUS = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line says of the cluster. None: whatever is best. See Share."""

    address: str | None = None
    workers: int | None = None
    cpus: int | None = None
    gpus: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What the workers take of the cluster. workers: the most of them. cpus, gpus: of each one."""

    workers: int
    cpus: int
    gpus: float


def fitting(machines: Sequence[Mapping[str, float]], wanted: Wanted) -> Share:
    """Where the command line leaves it open, workers of 4 CPUs and one GPU, if there are any, as many as fit.

    machines: CPU and GPU of each. Raises Stop.
    """
    machines = [machine for machine in machines if machine.get("CPU", 0) >= 1]
    if not machines:
        raise Stop("the cluster has no CPUs")
    cpus = wanted.cpus or min(_CPUS, *(int(machine["CPU"]) for machine in machines))
    gpus = wanted.gpus
    if gpus is None:
        gpus = float(any(machine.get("GPU", 0) >= 1 for machine in machines))
    room = sum(_room(machine, cpus, gpus) for machine in machines)
    if not room:
        raise Stop(f"no machine of the cluster has {cpus} CPUs and {gpus:g} GPUs for a worker")
    return Share(wanted.workers or room, cpus, gpus)


def _room(machine: Mapping[str, float], cpus: int, gpus: float) -> int:
    on_gpus = machine.get("GPU", 0) // gpus if gpus else math.inf
    return int(min(machine["CPU"] // cpus, on_gpus))
