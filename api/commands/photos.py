"""Which photos a command line names, and where their results go."""

import os
import sys
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Photo:
    """path: the file, or STANDARD_STREAM. result: its result below the output folder, without suffix."""

    path: Path
    result: Path

    def read(self) -> bytes:
        """Raises Refused."""
        try:
            return sys.stdin.buffer.read() if self.path == STANDARD_STREAM else self.path.read_bytes()
        except OSError as exc:
            raise Refused(exc.strerror or str(exc)) from exc


def find_photos(arguments: Sequence[Path], *, recursive: bool) -> list[Photo]:
    """The photos that files and folders name, each once, folders in alphabetical order.

    recursive: folders below a folder too; their results keep that structure.
    """
    found: dict[Path, Photo] = {}
    for argument in arguments:
        if argument == STANDARD_STREAM:
            found.setdefault(argument, Photo(argument, Path("stdin")))
        elif argument.is_dir():
            for path in _below(argument, recursive):
                found.setdefault(path.resolve(), Photo(path, path.relative_to(argument).with_suffix("")))
        else:
            found.setdefault(argument.resolve(), Photo(argument, Path(argument.stem)))
    return list(found.values())


def _below(folder: Path, recursive: bool) -> Iterator[Path]:
    for path in sorted(folder.rglob("*") if recursive else folder.iterdir()):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


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
