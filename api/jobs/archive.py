"""The results of a job as one ZIP file, made while it is sent: no more than one result is in memory."""

import io
import time
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable

from api.errors import NotFound
from api.jobs.views import Job

Read = Callable[[str], Awaitable[tuple[bytes, str]]]


class _Pipe(io.RawIOBase):
    """What was written since it was last emptied. ZipFile sees that it cannot seek, and does without."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def emptied(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


async def archive(job: Job, read: Read) -> AsyncIterator[bytes]:
    """`0000.png`, … stored as they are, and `manifest.json`. read: a result's body and media type.

    A result that has been removed meanwhile is left out; the manifest names it all the same.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as file:
        file.writestr(_entry("manifest.json"), job.model_dump_json(indent=2))
        yield pipe.emptied()
        for item in job.items:
            if item.cutout is None:
                continue
            try:
                data, _ = await read(item.cutout.id)
            except NotFound:
                continue
            extension = item.cutout.id.rpartition(".")[2]
            file.writestr(_entry(f"{item.index:04d}.{extension}"), data)
            yield pipe.emptied()
    yield pipe.emptied()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, time.gmtime()[:6])
    entry.external_attr = 0o644 << 16
    return entry
