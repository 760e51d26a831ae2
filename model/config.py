"""The settings of inference, readable without torch."""

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
        ("lite",),
        min_length=1,
        max_length=16,
        description="Models that requests may name. They are loaded at the start, as far as `memory_budget` "
        "allows.",
    )
    model_dir: Path = Field(
        Path("models"),
        description="Directory that `objectcut models pull` and `… import` bring weights into.",
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d{1,2})?)$",
        description="`auto` takes a GPU when there is one. A named device that is not there stops the start. "
        "Several GPUs: one process for each, with `cuda:0`, `cuda:1`, … and a port of its own.",
    )
    runtime: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        description="`openvino`: for CPUs, with `pip install 'objectcut[openvino]'`: quicker there than "
        "torch, in less memory, after seconds more at the start. `auto` takes it where it is installed, on "
        "x86 machines without a GPU, for models of one input size; where it fails, torch. `/readyz` says "
        "which.",
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="`auto` takes half precision where it agrees with float32 and, on a CPU, is quicker, "
        "both found out at the start. Naming one that fails the self-test leaves the model unavailable.",
    )
    compile: bool = Field(
        False,
        description="torch.compile: some more speed on a GPU for minutes at every start, and it wants a C "
        "compiler. It does not pay on CPUs. Where it fails the network runs as it is.",
    )
    memory_budget: int | None = Field(
        None,
        gt=0,
        description="Bytes of the device's memory for models. Those beyond it are loaded when a request "
        "names them, and the one that was idle for longest makes room. Default: all stay loaded.",
    )
    cores: int = Field(
        default_factory=_usable_cores,
        ge=1,
        le=512,
        description="CPU cores for inference and resizing; on a CPU torch infers as many pictures at once, "
        "OpenVINO one for every two cores. Default: every core that this process may use.",
    )
    max_batch: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Most pictures in one batch; up to there, each model's own number is measured at the "
        "start. Default: 1 on a CPU, 32 on a GPU. OpenVINO takes one at a time.",
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

    @model_validator(mode="after")
    def _runtime_knows_device(self) -> Self:
        if self.runtime == "openvino" and self.device not in ("auto", "cpu"):
            raise ValueError(f"the runtime openvino is for CPUs, not for the device '{self.device}'")
        return self
