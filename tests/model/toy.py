"""Networks of a few kilobytes, and their records in a registry."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.registry import ModelSpec, Weights

SIDE = 64


class Toy(nn.Module):
    """Tells warm colours from cold ones; batch norms, to be folded, between its convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.middle = nn.Conv2d(16, 16, 3, padding=1)
        self.middle_norm = nn.BatchNorm2d(16)
        self.leave = nn.Conv2d(16, 1, 1)
        rng = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for norm in (self.norm, self.middle_norm):
                statistics = dict(norm.named_buffers())
                statistics["running_mean"].copy_(0.1 * torch.randn(16, generator=rng))
                statistics["running_var"].copy_(0.5 + torch.rand(16, generator=rng))
            for conv in (self.enter, self.middle, self.leave):
                conv.weight.copy_(0.4 * torch.randn(conv.weight.shape, generator=rng))
                if conv.bias is not None:
                    conv.bias.copy_(0.1 * torch.randn(conv.bias.shape, generator=rng))
            self.enter.weight[:, 0].abs_()
            self.enter.weight[:, 2].abs_().neg_()

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.enter(x)))
        y: Tensor = self.leave(torch.relu(self.middle_norm(self.middle(x))))
        return y


class Undecided(Toy):
    """What tracing sees of it, black pictures, is not what it does to others."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return -y if x.amax() < 0 else y


class Slow(Toy):
    """A Toy that takes its time."""

    def forward(self, x: Tensor) -> Tensor:
        if x.isfinite().all():  # a course that depends on data is not traced: the tracer would lose the pause
            time.sleep(0.05)
        return super().forward(x)


class Touchy(Toy):
    """A Toy that does `fault` when a picture of the batch has a white pixel in its upper left corner."""

    fault: Callable[[Tensor], Tensor]

    def forward(self, x: Tensor) -> Tensor:
        touched = x[:, :, 0, 0].amin(dim=1) > 1.9
        y = super().forward(x)
        if touched.any():
            y[touched] = type(self).fault(y[touched])
        return y


def raising(text: str) -> type[Touchy]:
    """A Touchy whose fault is a RuntimeError with this text, as torch would raise it."""

    def fault(y: Tensor) -> Tensor:
        raise RuntimeError(text)

    return type("Raising", (Touchy,), {"fault": staticmethod(fault)})


def giving(value: float) -> type[Touchy]:
    """A Touchy whose fault is to answer this number everywhere."""
    return type("Giving", (Touchy,), {"fault": staticmethod(lambda y: torch.full_like(y, value))})


def toy_spec(build: Callable[[], nn.Module] = Toy, name: str = "toy") -> ModelSpec:
    return ModelSpec(
        name=name,
        build=build,
        size=(SIDE, SIDE),
        mean=(0.5, 0.4, 0.3),
        std=(0.25, 0.25, 0.25),
        weights=Weights(file=f"{name}.safetensors", source="tests/model/toy.py"),
        licence="MIT",
        paper="none",
        description="A toy.",
    )


def with_mean(spec: ModelSpec, mean: tuple[float, float, float]) -> ModelSpec:
    return replace(spec, mean=mean)


def pictures(count: int, *, white_corner: tuple[int, ...] = ()) -> NDArray[np.uint8]:
    """(count, SIDE, SIDE, 3) uint8 noise, of which those listed would upset a Touchy."""
    batch = np.random.default_rng(1).integers(0, 250, (count, SIDE, SIDE, 3), dtype=np.uint8)
    for index in white_corner:
        batch[index, 0, 0] = 255
    return batch
