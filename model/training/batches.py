"""What training feeds on: batches, each determined by its number alone."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.registry import ModelSpec, scaled_size

__all__ = ["Batch", "Source", "shaped", "squeezed"]


class Batch(NamedTuple):
    """pictures: (B, 3, S, S) float in [0, 1]. mattes: (B, 1, S, S) in [0, 1]. classes: (B,) int64, -1 where
    none is known, or None."""

    pictures: Tensor
    mattes: Tensor
    classes: Tensor | None = None


def shaped(spec: ModelSpec, side: int) -> tuple[int, int]:
    """(height, width) that squares of `side` are squeezed to; as they are, where the network takes such."""
    return (side, side) if len(set(spec.size)) == 1 else scaled_size(spec.size, side)


def squeezed(batch: Batch, spec: ModelSpec) -> Batch:
    """A batch of squares as the network takes pictures: as it is, for most."""
    side = batch.pictures.shape[-1]
    if (size := shaped(spec, side)) == (side, side):
        return batch
    pictures, mattes = (
        F.interpolate(maps, size=size, mode="bilinear", antialias=True).clamp(0, 1)
        for maps in (batch.pictures, batch.mattes)
    )
    return Batch(pictures, mattes, batch.classes)


class Source(Protocol):
    """Where batches come from."""

    @property
    def pictures(self) -> int:
        """How many there are: an epoch."""
        ...

    @property
    def described(self) -> Sequence[str]:
        """What it is made of, a line each, for the model card."""
        ...

    def batch(self, turn: int, side: int) -> Batch:
        """The batch of this number at that side, px: the same whatever came before. Raises PackError."""
        ...

    def held_out(self) -> Sequence[NDArray[np.uint8]]:
        """Squares (S, S, 4), RGB and matte, that are for validation alone."""
        ...

    def close(self) -> None:
        """Ends what works in the background."""
        ...
