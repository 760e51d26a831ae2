"""The settings of inference, readable without torch."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EngineConfig"]


def _usable_cores() -> int:
    """Cores in this process's affinity mask, where the system has one."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class EngineConfig(BaseModel):
    """Which models run, where, and how much may wait for them."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    models: tuple[str, ...] = Field(
        ("lite",), min_length=1, max_length=16, description="Models to load at the start, by name."
    )
    model_dir: Path = Field(
        Path("models"),
        description="Directory that `objectcut models pull` and `… import` bring weights into.",
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto",
        description="`auto` takes a GPU when there is one. A named device that is not there stops the start.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="`auto` takes half precision where it is quicker, measured at the start, and agrees with "
        "float32. Naming one that fails the self-test leaves the model unavailable.",
    )
    cores: int = Field(
        default_factory=_usable_cores,
        ge=1,
        le=512,
        description="CPU cores for inference and resizing; on a CPU also the number of pictures inferred at "
        "once. Default: every core that this process may use.",
    )
    max_batch: int | None = Field(
        None, ge=1, le=64, description="Pictures in one batch. Default: 1 on a CPU, 8 on a GPU."
    )
    max_wait: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Seconds that a batch may wait for company while the device is busy anyway.",
    )
    max_queue: int = Field(
        32,
        ge=1,
        le=4096,
        description="Pictures that may wait for each model; beyond, 429 with Retry-After. Where a picture "
        "takes seconds: no more than are done within a request's time.",
    )
    drain_timeout: float = Field(
        30, gt=0, le=600, description="Seconds that a shutdown gives to accepted pictures."
    )
