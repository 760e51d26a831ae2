"""A process of its own that puts objects, for tests that kill it or take its disk away.

python putter.py DIRECTORY COUNT [FILE_SIZE_LIMIT]

Prints one line a put: the object's name and how it ended.
"""

import asyncio
import resource
import sys
from pathlib import Path

from api.errors import ObjectCutError
from api.storage import LocalStore, UrlSigner
from api.types import Deadline, Encoded
from tests.contract.store import key_of


def body_of(name: str) -> bytes:
    """64 kB that say whose they are."""
    return name.encode().ljust(64, b".") * 1024


async def put_many(directory: Path, count: int) -> None:
    store = LocalStore(directory, UrlSigner([b"k" * 32], "http://cut.test"), min_free_share=0)
    for number in range(count):
        name = f"object-{number}"
        item = Encoded(body_of(name), "image/png", 1, 1)
        try:
            await store.put(key_of(name), item, facts={"name": name}, deadline=Deadline.after(60))
            outcome = "stored"
        except ObjectCutError as exc:
            outcome = exc.code
        print(name, outcome, flush=True)  # noqa: T201 - the test reads it
    await store.close()


if __name__ == "__main__":
    if len(sys.argv) == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
    asyncio.run(put_many(Path(sys.argv[1]), int(sys.argv[2])))
