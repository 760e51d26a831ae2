"""What training feeds on: batches, each determined by its number alone."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Batch", "Source"]


class Batch(NamedTuple):
    """pictures: (B, 3, S, S) float in [0, 1]. mattes: (B, 1, S, S) in [0, 1]. classes: (B,) int64, -1 where
    none is known, or None."""

    pictures: Tensor
    mattes: Tensor
    classes: Tensor | None = None


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
