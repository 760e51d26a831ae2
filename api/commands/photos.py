"""Which photos a command line names, and where their results go."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from postprocess.types import Encoded

__all__ = ["STANDARD_STREAM", "Folder", "Photo", "Refused", "StandardOutput", "find_photos"]

STANDARD_STREAM = Path("-")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".gif", ".bmp", ".tif", ".tiff")
)
"""What is taken for a photo in a folder; a file that is named itself is always tried."""

_SUFFIX_OF = {
    "image/png": ".png",
    "image/webp": ".webp",
    "image/jpeg": ".jpg",
    "image/avif": ".avif",
    "application/zip": ".zip",
}


class Refused(Exception):
    """One photo cannot be done; the text says why to the person at the terminal."""


@dataclass(slots=True)
class Photo:
    """path: the file, or STANDARD_STREAM. result: its result below the output folder, without suffix.

    held: its bytes, once `hold` has read them.
    """

    path: Path
    result: Path
    held: bytes | None = None

    def hold(self) -> None:
        """Reads it before its turn; what fails now fails again then, and is told there."""
        with suppress(Refused):
            self.held = self.read()

    def read(self) -> bytes:
        """Raises Refused."""
        if self.held is not None:
            return self.held
        try:
            return sys.stdin.buffer.read() if self.path == STANDARD_STREAM else self.path.read_bytes()
        except OSError as exc:
            raise Refused(exc.strerror or str(exc)) from exc


def find_photos(arguments: Sequence[Path], *, recursive: bool, directory: Path | None = None) -> list[Photo]:
    """The photos that files and folders name, each once, folders in alphabetical order.

    recursive: folders below a folder too; their results keep that structure. directory: where results go;
    where it lies below a folder that is searched, it is left out: an earlier run's results are no photos.
    """
    found: dict[Path, Photo] = {}
    for argument in arguments:
        if argument == STANDARD_STREAM:
            found.setdefault(argument, Photo(argument, Path("stdin")))
        elif argument.is_dir():
            for path in _below(argument, recursive, directory):
                found.setdefault(path.resolve(), Photo(path, path.relative_to(argument).with_suffix("")))
        else:
            found.setdefault(argument.resolve(), Photo(argument, Path(argument.stem)))
    return list(found.values())


def _below(folder: Path, recursive: bool, directory: Path | None) -> Iterator[Path]:
    results = _inside(folder, directory) if directory else None
    for path in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        inner = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in inner.parts)
        left_out = hidden or (results and inner.is_relative_to(results))
        if not left_out and path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def _inside(folder: Path, directory: Path) -> Path | None:
    """The way from a folder to one strictly below it."""
    folder, directory = folder.resolve(), directory.resolve()
    return directory.relative_to(folder) if folder in directory.parents else None


class Folder:
    """Writes results into a folder, never over a photo that is being read and never two under one name."""

    def __init__(self, folder: Path, photos: Sequence[Photo]) -> None:
        self._folder = folder
        self._inputs = {photo.path.resolve() for photo in photos}
        self._owners: dict[Path, Photo] = {}
        for photo in photos:
            self._owners.setdefault(photo.result, photo)

    def check(self, photo: Photo) -> None:
        """Raises Refused when an earlier photo's result has this one's name: known before any work."""
        if (owner := self._owners[photo.result]) is not photo:
            raise Refused(f"its result would overwrite that of {owner.path}")

    def write(self, photo: Photo, encoded: "Encoded") -> None:
        """Whole or not at all. Raises Refused."""
        target = self._folder / photo.result.with_name(photo.result.name + _SUFFIX_OF[encoded.media_type])
        if target.resolve() in self._inputs:
            raise Refused(f"its result would overwrite the photo {target}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.{os.getpid()}.part")
            try:
                part.write_bytes(encoded.body)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as exc:
            raise Refused(f"{target}: {exc.strerror or exc}") from exc


class StandardOutput:
    """Writes the one result to standard output."""

    def check(self, _photo: Photo) -> None:
        """Nothing is in its way."""

    def write(self, _photo: Photo, encoded: "Encoded") -> None:
        """The bytes as they are."""
        sys.stdout.buffer.write(encoded.body)
        sys.stdout.buffer.flush()
