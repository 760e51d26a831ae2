"""Training pictures from packs, made on the device: crops of real pairs, and cutouts composited on scenes.

Everything is a batched tensor operation driven by one seeded generator per step, so a run continues after a
kill exactly as it would have gone on, on a CPU as on a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.training.batches import Batch
from model.training.draws import Draw, inside, sample
from model.training.effects import photographed
from model.training.packs import (
    Pack,
    masked,
    not_for_training,
    read_pairs,
    read_pictures,
    validation_pairs,
)
from model.training.pictures import square
from model.training.recipe import Packs
from model.training.synthesis import composed

__all__ = ["Library", "Scenes", "read_library"]


@dataclass(frozen=True, slots=True)
class Library:
    """The packs in memory, on the training device."""

    pairs: tuple[Pack, ...]
    foregrounds: tuple[Pack, ...]
    backgrounds: tuple[Pack, ...]


def read_library(data: Path, packs: Packs, device: torch.device) -> Library:
    """The packs, without validation's pictures and unused ones, on the device. Raises PackError."""
    left_out = not_for_training(data, packs)
    taken: set[tuple[str, str]] = set()
    subjects = masked(data, packs.left_out)

    def keep(pack: str, stem: str) -> bool:
        """A picture with masks in two packs is used once, with the mask of the pack listed first.

        One with a mask is nobody's background, nor is one whose mask was left out.
        """
        new = (pack, stem) not in left_out and (pack, stem) not in taken
        taken.add((pack, stem))
        return new

    def keep_scene(pack: str, stem: str) -> bool:
        return (pack, stem) not in subjects and keep(pack, stem)

    library = Library(
        tuple(read_pairs(data, name, packs, keep) for name in packs.pairs),
        tuple(read_pictures(data, name, packs, keep, alpha=True) for name in packs.foregrounds),
        tuple(read_pictures(data, name, packs, keep_scene, alpha=False) for name in packs.backgrounds),
    )
    for kind in (library.pairs, library.foregrounds, library.backgrounds):
        for pack in kind:
            pack.pictures = pack.pictures.to(device)
    return library


class Scenes:
    """A Source of batches from packs. size: pictures in a batch."""

    def __init__(self, data: Path, packs: Packs, device: torch.device, *, size: int, seed: int) -> None:
        self.data, self.packs, self.device = data, packs, device
        self.size, self.seed = size, seed
        self.library = read_library(data, packs, device)

    @property
    def pictures(self) -> int:
        """Pairs; the composites made of them are without number."""
        return sum(len(pack.names) for pack in self.library.pairs)

    @property
    def described(self) -> Sequence[str]:
        """Every pack with its number of pictures."""
        library = self.library
        packs = (*library.pairs, *library.foregrounds, *library.backgrounds)
        return [f"{pack.name}: {len(pack.names)} pictures" for pack in packs]

    def batch(self, turn: int, side: int) -> Batch:
        """The batch of this turn: the same for the same recipe, whatever came before."""
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + turn)
        draw = Draw(generator, self.device)
        composited = round(self.size * self.packs.composites)
        kinds = (self._crops, self.size - composited), (self._composites, composited)
        parts = [made(draw, count, side) for made, count in kinds if count]
        pictures, mattes = (torch.cat(each) for each in zip(*parts, strict=True))
        return Batch(photographed(draw, pictures), mattes)

    def held_out(self) -> Sequence[NDArray[np.uint8]]:
        """The validation pictures of every pack, at the side that packs are kept at."""
        side = self.packs.store_side
        return [
            np.dstack([square(picture, side), square(matte, side)])
            for name in self.packs.validation
            for _, picture, matte in validation_pairs(self.data, name)
        ]

    def close(self) -> None:
        """Nothing works in the background."""

    def _crops(self, draw: Draw, count: int, side: int) -> tuple[Tensor, Tensor]:
        pairs = draw.pictures(self.library.pairs, self.packs.pairs, count)
        views = sample(pairs, inside(draw, count, least=self.packs.least_view), side, padding="reflection")
        return views[:, :3], views[:, 3:]

    def _composites(self, draw: Draw, count: int, side: int) -> tuple[Tensor, Tensor]:
        scenes = draw.pictures(self.library.backgrounds, self.packs.backgrounds, count)
        scenes = sample(scenes, inside(draw, count, least=0.35), side, padding="reflection")
        return composed(draw, scenes, lambda: self._cutouts(draw, count), self.packs.synthesis)

    def _cutouts(self, draw: Draw, count: int) -> Tensor:
        """Straight RGBA of subjects, (count, 4, S, S)."""
        own = draw.pictures(self.library.pairs, self.packs.pairs, count)
        rendered = draw.pictures(self.library.foregrounds, self.packs.foregrounds, count)
        from_pairs = (draw.uniform(count, 0, 1) < self.packs.pair_cutouts).view(-1, 1, 1, 1)
        return torch.where(from_pairs, own, rendered)
