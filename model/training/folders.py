"""Training pictures from folders of any size: read, squared and kept as far as memory goes, ahead of need."""

import itertools
import math
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from model.training.batches import Batch
from model.training.draws import Draw, inside, sample
from model.training.effects import photographed
from model.training.layouts import Sample, class_names, samples
from model.training.pictures import PICTURES, PackError, Pixels, decoded, fitting_matte, matte_of, square
from model.training.recipe import Folders
from model.training.synthesis import composed

__all__ = ["FolderSource"]

AHEAD = 3
"""Batches that are read before they are asked for."""
KEPT_BYTES = 2 << 30
"""Of pictures, squared, that stay in memory; the others are read anew in every epoch."""
MOST_VALIDATED = 300
"""Pictures: of more, every second, third, … is taken."""
READERS = min(16, os.cpu_count() or 1)


class FolderSource:
    """A Source of batches from data sets: each picture once an epoch, in an order that seed and epoch decide.

    size: pictures in a batch. stride: how far this process's turns lie apart: the number of processes.
    classes: of the head, 0 for none. Every file is read and checked at the start: raises PackError naming the
    first one that does not fit.
    """

    def __init__(
        self,
        data: Path,
        folders: Folders,
        device: torch.device,
        *,
        size: int,
        seed: int,
        stride: int = 1,
        classes: int = 0,
    ) -> None:
        self.folders, self.device, self.size, self.seed, self.stride = folders, device, size, seed, stride
        found = [(name, samples(data, name)) for name in folders.train]
        self.samples = [sample for _, of_one in found for sample in of_one]
        self._described = [f"{name}: {len(of_one)} pictures" for name, of_one in found]
        self.validation = [sample for name in folders.validation for sample in samples(data, name)]
        self._classified = classes > 0
        self.kinds = _numbered(class_names(self.samples), classes)
        self._pool = ThreadPoolExecutor(READERS, "read")
        self._expected: dict[tuple[int, int], list[Future[Pixels]]] = {}
        self._kept: dict[int, Pixels] = {}
        self._backgrounds: list[Pixels] = []
        try:
            self._check(data)
        except BaseException:
            self.close()
            raise

    def _check(self, data: Path) -> None:
        """Reads everything once, and keeps what there is room for."""
        room = KEPT_BYTES // (4 * self.folders.load_side**2)
        read = self._pool.map(self._read, self.samples)
        for index, pixels in enumerate(track(read, "reading", len(self.samples), transient=True)):
            if index < room:
                self._kept[index] = pixels
        if self.folders.composites:
            self._backgrounds = _backgrounds(data / "backgrounds", self.folders)

    @property
    def pictures(self) -> int:
        """Of the training data sets."""
        return len(self.samples)

    @property
    def described(self) -> Sequence[str]:
        """Every data set with its number of pictures."""
        backgrounds = [f"backgrounds: {len(self._backgrounds)} pictures"] if self._backgrounds else []
        return [*self._described, *backgrounds]

    def batch(self, turn: int, side: int) -> Batch:
        """The batch of this turn: the same for the same recipe, whatever came before. Raises PackError."""
        expected = {(turn + ahead * self.stride, side) for ahead in range(AHEAD + 1)}
        for key in self._expected.keys() - expected:
            for unwanted in self._expected.pop(key):
                unwanted.cancel()
        for key in sorted(expected - self._expected.keys()):
            self._expected[key] = [
                self._pool.submit(self._view, place, side) for place in self._places(key[0])
            ]
        views = np.stack([future.result() for future in self._expected.pop((turn, side))])
        pixels = torch.from_numpy(views)
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        pixels = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        pictures, mattes = self._looked(turn, pixels, side)
        return Batch(pictures, mattes, self._classes(turn))

    def held_out(self) -> Sequence[Pixels]:
        """The validation pictures, (S, S, 4) at the side that pictures are loaded at. Raises PackError."""
        step = math.ceil(len(self.validation) / MOST_VALIDATED) or 1
        return list(self._pool.map(self._read, self.validation[::step]))

    def close(self) -> None:
        """Waits for what is being read, and ends its threads."""
        self._pool.shutdown(cancel_futures=True)

    def _places(self, turn: int) -> range:
        """Positions in the endless row of epochs."""
        return range(turn * self.size, (turn + 1) * self.size)

    def _index(self, place: int) -> int:
        epoch, position = divmod(place, len(self.samples))
        return int(np.random.default_rng((self.seed, epoch)).permutation(len(self.samples))[position])

    def _view(self, place: int, side: int) -> Pixels:
        """One picture as this place in the row sees it: cropped and mirrored."""
        index = self._index(place)
        kept = self._kept.get(index)
        pixels = self._read(self.samples[index]) if kept is None else kept
        if self.folders.look == "photo":
            return pixels  # the device crops it, more finely
        chance = np.random.default_rng((self.seed, place, 1))
        top, left = chance.integers(0, self.folders.load_side - side + 1, 2)
        view = pixels[top : top + side, left : left + side]
        return view[:, ::-1] if chance.random() < 0.5 else view

    def _looked(self, turn: int, pixels: Tensor, side: int) -> tuple[Tensor, Tensor]:
        """Pictures and mattes of what was read, (B, 4, ., .), with all that the device adds."""
        if self.folders.look == "flip" and not self._backgrounds:
            return pixels[:, :3], pixels[:, 3:]
        draw = Draw(torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + turn), self.device)
        composited = round(len(pixels) * self.folders.composites) if self._backgrounds else 0
        parts = []
        if composited:
            cutouts, layer = pixels[:composited], itertools.count()  # each layer has them in another order
            scenes = self._scenes(draw, composited, side)
            parts.append(composed(draw, scenes, lambda: cutouts.roll(next(layer), 0), self.folders.synthesis))
        if composited < len(pixels):
            real = pixels[composited:]
            if self.folders.look == "photo":
                real = sample(real, inside(draw, len(real), least=0.55), side, padding="reflection")
            parts.append((real[:, :3], real[:, 3:]))
        pictures, mattes = (torch.cat(kind) for kind in zip(*parts, strict=True))
        return (photographed(draw, pictures) if self.folders.look == "photo" else pictures), mattes

    def _scenes(self, draw: Draw, count: int, side: int) -> Tensor:
        chosen = (draw.uniform(count, 0, 1) * len(self._backgrounds)).long().tolist()
        pixels = torch.from_numpy(np.stack([self._backgrounds[index] for index in chosen]))
        scenes = pixels.to(self.device).permute(0, 3, 1, 2).float() / 255
        return sample(scenes, inside(draw, count, least=0.35), side, padding="reflection")

    def _classes(self, turn: int) -> Tensor | None:
        if not self._classified:
            return None
        kinds = [self.samples[self._index(place)].kind for place in self._places(turn)]
        return torch.tensor([self.kinds.get(kind or "", -1) for kind in kinds], device=self.device)

    def _read(self, sample: Sample) -> Pixels:
        """(S, S, 4) RGB and matte. Raises PackError."""
        side = self.folders.load_side
        bgr = decoded(sample.image.read_bytes(), cv2.IMREAD_COLOR, str(sample.image))
        matte = matte_of(sample.mask.read_bytes(), str(sample.mask))
        matte = fitting_matte(matte, (bgr.shape[1], bgr.shape[0]), str(sample.mask))
        return np.dstack([square(bgr, side)[..., ::-1], square(matte, side)])


def _numbered(names: list[str], classes: int) -> dict[str, int]:
    """Raises PackError where the data sets have more classes than the head."""
    if not classes:
        return {}
    if len(names) > classes:
        raise PackError(f"the data sets name {len(names)} classes, the recipe's head has {classes}")
    return {name: number for number, name in enumerate(names)}


def _backgrounds(folder: Path, folders: Folders) -> list[Pixels]:
    """The pictures of a folder, if there is one, as far as memory goes. Raises PackError."""
    room = KEPT_BYTES // (3 * folders.load_side**2)
    files = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in PICTURES][:room]
    pictures = (decoded(path.read_bytes(), cv2.IMREAD_COLOR, str(path)) for path in files)
    return [np.ascontiguousarray(square(picture, folders.load_side)[..., ::-1]) for picture in pictures]
