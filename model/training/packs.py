"""Packs: folders or ZIP files of pictures with mattes, cutouts, or scenes.

A pack is NAME.zip or a folder NAME with
    images/STEM.webp|png|jpg      pictures; RGBA cutouts in `foregrounds-*`
    masks/STEM.png                8-bit mattes of the pictures, the same size
    index.csv                     rows with `name` and `split` (train | val | unused)
A mask pack (`masks-*`) holds only masks, PACK/STEM.png, for pictures of other packs: those named by its
folders. Its index names the pictures' pack, too, and may say of any picture that it is unused: neither a
pair nor a scene. Training reads files that its user chose, so it decodes with OpenCV and does without the
guards that api/source puts around strangers' bytes.
"""

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from model.training.pictures import PICTURES, PackError, Pixels, decoded, fitting_matte, matte_of, square
from model.training.recipe import Packs

_OWN = Path(__file__).parent
"""Where packs are that the data folder need not have: the masks that were chosen by eye."""


@dataclass(slots=True)
class Pack:
    """names: stems in a fixed order. pictures: (N, C, S, S) uint8, RGB or RGBA: with the matte as alpha."""

    name: str
    names: tuple[str, ...]
    pictures: Tensor


class Archive:
    """A pack's files by their names inside it, whether it is a folder or a ZIP file.

    name: a pack, or PACK/FOLDER for one folder of a mask pack.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.name, _, self._folder = name.partition("/")
        folder, archive = root / self.name, root / f"{self.name}.zip"
        if not archive.is_file():
            archive = _OWN / archive.name
        if folder.is_dir():
            files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
            self.read: Callable[[str], bytes] = lambda file: (folder / file).read_bytes()
        elif archive.is_file():
            opened = zipfile.ZipFile(archive)
            files = sorted(n for n in opened.namelist() if not n.endswith("/"))
            self.read = opened.read
        else:
            raise PackError(f"there is neither a folder nor a ZIP file of the pack {self.name} in {root}")
        self.files = files

    def by_stem(self, folder: str) -> dict[str, str]:
        """Files directly in `folder`, by stem."""
        return {
            PurePosixPath(f).stem: f
            for f in self.files
            if PurePosixPath(f).parent.as_posix() == folder and PurePosixPath(f).suffix.lower() in PICTURES
        }

    def pictures_of(self) -> str:
        """The pack that holds the pictures: this one; of a mask pack its folder's, by default the first's."""
        if not self.name.startswith("masks-"):
            return self.name
        parts = (PurePosixPath(file).parts for file in self.files)
        return self._folder or min(folder for folder, *rest in parts if rest)

    def index(self) -> Iterator[dict[str, str]]:
        """The rows of index.csv; none when there is none."""
        if "index.csv" in self.files:
            yield from csv.DictReader(io.StringIO(self.read("index.csv").decode()))

    def decode(self, file: str, flags: int) -> Pixels:
        """Raises PackError naming the file when it is not a picture."""
        return decoded(self.read(file), flags, f"{self.name}: {file}")


def _stack(pictures: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def not_for_training(data: Path, packs: Packs) -> set[tuple[str, str]]:
    """(picture pack, stem) of every picture that some index calls `val` or `unused`."""
    names = dict.fromkeys(name.split("/")[0] for name in (*packs.pairs, *packs.validation))
    return {named for name in names for named, split in _splits(data, name) if split != "train"}


def _splits(data: Path, name: str) -> Iterator[tuple[tuple[str, str], str]]:
    """((picture pack, stem), split) of every row of a pack's index."""
    archive = Archive(data, name)
    pack = archive.pictures_of()
    for row in archive.index():
        yield (row.get("pack") or pack, row["name"]), row["split"]


def masked(data: Path, names: Iterable[str]) -> set[tuple[str, str]]:
    """(picture pack, stem) of every picture that one of these packs has a mask for, if the pack is there."""
    found = set()
    for name in names:
        try:
            archive = Archive(data, name)
        except PackError:
            continue
        pack = archive.pictures_of()
        found |= {(pack, stem) for stem in archive.by_stem("masks" if pack == archive.name else pack)}
    return found


def pairs(data: Path, name: str, keep: Callable[[str, str], bool]) -> Iterator[tuple[str, Pixels, Pixels]]:
    """(stem, picture (H, W, 3) uint8 RGB, matte uint8) of every chosen picture, by stem.

    name: as of an Archive. keep(picture pack, stem) chooses. Raises PackError.
    """
    archive = Archive(data, name)
    pack = archive.pictures_of()
    if pack == archive.name:
        source, masks = archive, archive.by_stem("masks")
    else:
        source, masks = Archive(data, pack), archive.by_stem(pack)
    images = source.by_stem("images")
    for stem in track(sorted(masks), name, transient=True):
        if not keep(pack, stem):
            continue
        if stem not in images:
            raise PackError(f"{archive.name}: {masks[stem]} has no picture images/{stem}.* in {pack}")
        bgr = source.decode(images[stem], cv2.IMREAD_COLOR)
        picture = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        size, named = (picture.shape[1], picture.shape[0]), f"{archive.name}: {masks[stem]}"
        yield stem, picture, fitting_matte(matte_of(archive.read(masks[stem]), named), size, named)


def read_pairs(data: Path, name: str, packs: Packs, keep: Callable[[str, str], bool]) -> Pack:
    """The same as one tensor, (N, 4, S, S) uint8. Raises PackError."""
    side = packs.store_side
    names, pictures = [], []
    for stem, picture, matte in pairs(data, name, keep):
        names.append(stem)
        pictures.append(np.dstack([square(picture, side), square(matte, side)]))
    if not names:
        raise PackError(f"{name}: no picture of it is to be used")
    return Pack(name, tuple(names), _stack(pictures))


def validation_pairs(data: Path, name: str) -> Iterator[tuple[str, Pixels, Pixels]]:
    """(stem, picture, matte) of the pictures that this pack's own index calls `val`. Raises PackError."""
    chosen = {named for named, split in _splits(data, name) if split == "val"}
    return pairs(data, name, lambda pack, stem: (pack, stem) in chosen)


def read_pictures(
    data: Path, name: str, packs: Packs, keep: Callable[[str, str], bool], *, alpha: bool
) -> Pack:
    """Cutouts (N, 4, S, S) or scenes (N, 3, S, S), uint8: every chosen one. Raises PackError."""
    archive = Archive(data, name)
    files = {stem: file for stem, file in archive.by_stem("images").items() if keep(name, stem)}
    pictures = []
    for stem in track(sorted(files), name, transient=True):
        picture = archive.decode(files[stem], cv2.IMREAD_UNCHANGED if alpha else cv2.IMREAD_COLOR)
        if alpha and (picture.ndim != 3 or picture.shape[2] != 4):
            raise PackError(f"{name}: {files[stem]} has no alpha channel")
        code = cv2.COLOR_BGRA2RGBA if alpha else cv2.COLOR_BGR2RGB
        pictures.append(square(np.asarray(cv2.cvtColor(picture, code), np.uint8), packs.store_side))
    if not pictures:
        raise PackError(f"{name} holds no picture that is to be used")
    return Pack(name, tuple(sorted(files)), _stack(pictures))
