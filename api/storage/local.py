"""Results in a folder: one file an object, whole or not there at all.

    DIRECTORY/objects/KEY       the objects; a file's mtime is when it was last put (see served.put_time)
    DIRECTORY/temp/             files being written
    DIRECTORY/lock              held for the instant in which a file appears or goes
    DIRECTORY/signing-key       see signing.kept_key

Every reader verifies the file's checksum (see object_file): what is damaged is logged, removed and not
found, so that the next put writes it anew. Any number of processes may share the folder.
"""

import contextlib
import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from api.errors import NotFound, StoreFull, StoreUnavailable
from api.storage.object_file import parse_object, write_object
from api.storage.served import Sweeper, checked, put_time, signed_link
from api.storage.signing import UrlSigner
from api.storage.threads import BoundedThreads
from api.types import Deadline, Encoded, Link, StoredObject

logger = logging.getLogger(__name__)

T = TypeVar("T")

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SWEEP_LIMIT = 10_000
_SWEEP_SECONDS = 60.0


class DiskUsage(Protocol):
    """What shutil.disk_usage answers, as far as it is read here. bytes."""

    @property
    def total(self) -> int: ...
    @property
    def free(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    body: bytes
    media_type: str
    facts: dict[str, str]
    status: os.stat_result


class LocalStore:
    """Content-addressed files: see Store and ServedStore.

    ttl_seconds: life of an object since it was last put. min_free_bytes, min_free_share: a put that
    would leave less free space than the larger of the two is refused. clock: seconds since 1970.
    disk_usage: of the file system that holds a path.
    """

    def __init__(
        self,
        directory: Path,
        signer: UrlSigner,
        *,
        ttl_seconds: float = 3 * 86_400,
        min_free_bytes: int = 50_000_000,
        min_free_share: float = 0.01,
        sweep_seconds: float = 600,
        workers: int = 4,
        clock: Callable[[], float] = time.time,
        disk_usage: Callable[[Path], DiskUsage] = shutil.disk_usage,
    ) -> None:
        self.signer = signer
        self._objects = directory / "objects"
        self._temp = directory / "temp"
        self._lock = directory / "lock"
        self._ttl = ttl_seconds
        self._min_free_bytes = min_free_bytes
        self._min_free_share = min_free_share
        self._clock = clock
        self._disk_usage = disk_usage
        self._threads = BoundedThreads(workers, "local-store")
        self._sweeper = Sweeper(self.sweep, sweep_seconds, most=_SWEEP_LIMIT)
        for folder in (directory, self._objects, self._temp):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def start(self) -> None:
        await self._sweeper.start()

    async def put(
        self,
        key: str,
        item: Encoded,
        *,
        facts: Mapping[str, str],
        deadline: Deadline,
        life: float | None = None,
    ) -> Link:
        put_at = await self._run(
            partial(self._put, checked(key), item, dict(facts), life), deadline, "storing"
        )
        return self._link(key, put_at)

    async def find(self, key: str, *, deadline: Deadline) -> StoredObject:
        found = await self._run(partial(self._load, checked(key)), deadline, "finding")
        return StoredObject(
            self._link(key, found.status.st_mtime), found.media_type, len(found.body), found.facts
        )

    async def read(self, key: str, *, deadline: Deadline) -> tuple[bytes, str]:
        found = await self._run(partial(self._load, checked(key)), deadline, "reading")
        return found.body, found.media_type

    async def delete(self, key: str, *, deadline: Deadline) -> None:
        await self._run(partial(self._delete, checked(key)), deadline, "deleting")

    async def close(self) -> None:
        await self._sweeper.close()
        await self._threads.close()

    async def sweep(self) -> int:
        """Removes the expired (a bounded number) and what killed writers left; returns how many files."""
        return await self._run(self._sweep, Deadline.after(_SWEEP_SECONDS), "sweeping")

    async def _run(self, call: Callable[[], T], deadline: Deadline, stage: str) -> T:
        try:
            return await self._threads.run(call, deadline=deadline, stage=stage)
        except OSError as exc:
            raise store_error(exc, stage) from exc

    def _link(self, key: str, put_at: float) -> Link:
        return signed_link(self.signer, key, ends_at=put_at + self._ttl, now=self._clock())

    # What follows runs in the store's threads.

    def _put(self, key: str, item: Encoded, facts: Mapping[str, str], life: float | None) -> float:
        try:
            return self._refresh(key, life)
        except NotFound:
            return self._create(key, item, facts, life)

    def _refresh(self, key: str, life: float | None) -> float:
        """A fresh life for an object that is there and sound. Returns when it began. Raises NotFound."""
        loaded, path = self._load(key), self._objects / key
        began = max(loaded.status.st_mtime, put_time(self._clock(), self._ttl, life))
        with self._locked():
            if not _is_file(path, loaded.status):
                raise NotFound("removed meanwhile")
            os.utime(path, (began, began))
        return began

    def _create(self, key: str, item: Encoded, facts: Mapping[str, str], life: float | None) -> float:
        usage = self._disk_usage(self._objects)
        floor = max(self._min_free_bytes, self._min_free_share * usage.total)
        if usage.free - len(item.body) < floor:
            raise StoreFull(f"{usage.free} bytes free, the floor is {floor:.0f}", retry_after=60)
        temp, path = self._temp / f"{key}.{secrets.token_hex(8)}", self._objects / key
        with self._locked():
            file = open(temp, "xb")  # noqa: SIM115 - closed below, outside the lock
            # Held until the file is closed, or the process dead: sweeps know by it who still writes.
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            with file:
                write_object(file, item, facts)
                began = put_time(self._clock(), self._ttl, life)
                os.utime(file.fileno(), (began, began))
                os.fsync(file.fileno())
                with self._locked():
                    if self._alive(path):  # another writer was faster: create-only
                        os.utime(path, (began, began))
                    else:
                        os.replace(temp, path)
        finally:
            temp.unlink(missing_ok=True)
        _sync_folder(self._objects)
        return began

    def _load(self, key: str) -> _Loaded:
        path = self._objects / key
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                if self._ended(status):
                    raise NotFound("expired")
                data = file.read()
        except FileNotFoundError:
            raise NotFound("no such object") from None
        try:
            media_type, facts, body = parse_object(data)
        except ValueError as exc:
            logger.error("stored object %s is damaged (%s): removed", key, exc)
            self._remove(path, lambda path: _is_file(path, status))
            raise NotFound("damaged") from exc
        return _Loaded(body, media_type, facts, status)

    def _delete(self, key: str) -> None:
        if not self._remove(self._objects / key, self._alive):
            raise NotFound("no such object")

    def _sweep(self) -> int:
        removed = 0
        with os.scandir(self._objects) as entries:
            for path in map(Path, entries):
                # Asked again under the lock, which is taken only for what seems to be expired.
                if self._expired(path) and self._remove(path, self._expired):
                    removed += 1
                    if removed == _SWEEP_LIMIT:
                        break
        return removed + sum(self._remove(path, _abandoned) for path in self._temp.iterdir())

    def _remove(self, path: Path, condition: Callable[[Path], bool]) -> bool:
        """Removes the file if, under the lock, the condition holds; says whether it did."""
        with self._locked():
            if not condition(path):
                return False
            try:
                path.unlink()
            except FileNotFoundError:  # a writer that another was faster than has just done so itself
                return False
            return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._lock, "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _expired(self, path: Path) -> bool:
        status = _status(path)
        return status is not None and self._ended(status)

    def _alive(self, path: Path) -> bool:
        status = _status(path)
        return status is not None and not self._ended(status)

    def _ended(self, status: os.stat_result) -> bool:
        return status.st_mtime + self._ttl <= self._clock()


def store_error(exc: OSError, stage: str) -> StoreUnavailable:
    """What a failure of the file system is to the API."""
    if exc.errno in _FULL:
        return StoreFull(f"{stage}: {exc}", retry_after=60)
    return StoreUnavailable(f"{stage}: {exc}", retry_after=5)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _is_file(path: Path, status: os.stat_result) -> bool:
    """Whether the path still leads to the very file that had this status."""
    now = _status(path)
    return now is not None and now.st_ino == status.st_ino


def _abandoned(temp: Path) -> bool:
    """Whether nobody writes to the file any more: its writer would hold the lock on it."""
    try:
        with open(temp, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """A rename outlives a power cut only once its folder is written too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
