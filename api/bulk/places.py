"""Where pictures come from and results go: a folder, or a prefix of a bucket, s3:// or gs://."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

__all__ = ["OWN", "Place", "PlaceError", "apart", "open_place"]

OWN = "_objectcut"
"""The folder below a target that holds what is ours: the manifest, and files that are being written."""

_SCRATCH = f"{OWN}/unfinished"
_LISTING = pa.schema(
    [
        ("name", pa.string()),
        ("size", pa.int64()),  # bytes
        ("mtime_ns", pa.int64()),  # since 1970
        ("utf8", pa.bool_()),  # whether the name is; else it has escapes, and no file of that name is there
    ]
)
_Row = tuple[str, int, int, bool]
"""Of _LISTING."""


class PlaceError(Exception):
    """A place cannot be used; the text says why to the person at the terminal."""


@dataclass(frozen=True, slots=True)
class Place:
    """Files below a root, each named by its path from there, with `/`. It travels to other machines.

    url: as the user wrote it, for people. root: without a slash at its end. Every method may be called from
    several threads, and raises OSError.
    """

    url: str
    files: fs.FileSystem
    root: str

    @property
    def local(self) -> bool:
        """Whether it is a folder."""
        return isinstance(self.files, fs.LocalFileSystem)

    def listing(self, folder: str = "") -> pa.Table:
        """The files below `folder`: name, size, mtime_ns, utf8. No rows where no folder is.

        A link to a file is a file; one to a folder is none.
        """
        top = self._path(folder)
        rows = list(_below(top) if self.local else self._objects_below(top))
        return pa.table([[row[column] for row in rows] for column in range(len(_LISTING))], schema=_LISTING)

    def read(self, name: str, most: int) -> bytes:
        """The file's bytes; of one that is larger than `most` bytes that many and one more."""
        with self.files.open_input_stream(self._path(name)) as stream:
            return bytes(stream.read(most + 1))

    def write(self, name: str, body: bytes, media_type: str) -> None:
        """Whole or not at all, over what is there."""
        if self.local:
            self._put(name, lambda path: _write(path, body))
            return
        # An object appears when its stream is closed, and not if this process dies before.
        with self.files.open_output_stream(self._path(name), metadata={"Content-Type": media_type}) as out:
            out.write(body)

    def copy(self, name: str, target: str) -> None:
        """The same bytes under another name of this place, whole or not at all."""
        if self.local:
            self._put(target, lambda path: _write(path, Path(self._path(name)).read_bytes()))
        else:
            self.files.copy_file(self._path(name), self._path(target))

    def clear_scratch(self) -> None:
        """Removes what killed writers left. Nobody else may be writing."""
        if self.local and self.files.get_file_info(self._path(_SCRATCH)).type != fs.FileType.NotFound:
            self.files.delete_dir(self._path(_SCRATCH))

    def _objects_below(self, top: str) -> Iterator[_Row]:
        infos = self.files.get_file_info(fs.FileSelector(top, recursive=True, allow_not_found=True))
        return ((info.path[len(top) + 1 :], info.size, info.mtime_ns, True) for info in infos if info.is_file)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}" if name else self.root

    def _put(self, name: str, write: Callable[[Path], None]) -> None:
        temp, path = Path(self._path(_SCRATCH), uuid4().hex), Path(self._path(name))
        for folder in (temp.parent, path.parent):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            write(temp)
            temp.replace(path)
        finally:
            temp.unlink(missing_ok=True)


def open_place(text: str) -> Place:
    """The place that a command line names. Raises PlaceError.

    After `?` in a URL come the options of Arrow's file systems, such as `endpoint_override` and `region`.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Place(text, fs.LocalFileSystem(), str(Path(text).absolute()).rstrip("/"))
    if scheme not in ("s3", "gs"):
        raise PlaceError(f"{text}: a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX is wanted")
    path, _, query = rest.partition("?")
    path = path.rstrip("/")
    bucket = path.partition("/")[0]
    # Small objects go in one request instead of three.
    options = [query, "allow_delayed_open=true"] if scheme == "s3" else [query]
    url = f"{scheme}://{bucket}?{'&'.join(filter(None, options))}"
    try:
        files, _ = fs.FileSystem.from_uri(url)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise PlaceError(f"{text}: {exc}") from exc
    if not bucket:
        raise PlaceError(f"{text}: names no bucket")
    return Place(f"{scheme}://{path}", files, path)


def apart(source: Place, target: Place) -> None:
    """Raises PlaceError where one place lies within the other: results would be taken for sources."""
    if source.files.type_name != target.files.type_name:
        return
    one, other = ([*place.root.split("/"), ""] for place in (_resolved(source), _resolved(target)))
    shorter = min(len(one), len(other)) - 1
    if one[:shorter] == other[:shorter]:
        raise PlaceError(f"{source.url} and {target.url}: neither may lie within the other one")


def _resolved(place: Place) -> Place:
    """Without symbolic links."""
    root = str(Path(place.root).resolve()) if place.local else place.root
    return Place(place.url, place.files, root)


def _below(top: str) -> Iterator[_Row]:
    """Of a folder. Arrow's own list of one follows links in circles, and ends at a name that is not UTF-8."""
    root = os.fsencode(top)
    folders = [root]
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except FileNotFoundError:
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif (info := _stat(entry)) and stat.S_ISREG(info.st_mode):
                    path = entry.path[len(root) + 1 :]
                    name = path.decode(errors="backslashreplace")
                    yield name, info.st_size, info.st_mtime_ns, name.encode() == path


def _stat(entry: os.DirEntry[bytes]) -> os.stat_result | None:
    """Of what a link leads to. None where it leads nowhere, or nothing is there any more."""
    try:
        return entry.stat()
    except OSError as exc:
        if entry.is_symlink() or isinstance(exc, FileNotFoundError):
            return None
        raise


def _write(path: Path, body: bytes) -> None:
    with open(path, "xb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())  # the manifest will say that it is there
