"""POST /improve: pictures that users hand in, for whoever runs the service to learn from."""

import asyncio
import json
import time
import uuid
from collections import Counter
from collections.abc import Mapping

from api.accounts import Caller
from api.errors import PayloadTooLarge, RateLimited
from api.naming import owned
from api.turns import Turns
from api.types import Deadline, Decoder, Spend, Store
from postprocess.encode import encode

MAX_BYTES = 12_000_000
MAX_TEXT = 200
"""Characters of a file name or a tag."""
MAX_NOTE = 400
"""Of the same, bytes as JSON has them: S3 keeps 2 kB of metadata with an object."""
_DAY_SECONDS = 86_400
_QUALITY = 95


class Submissions:
    """Keeps what is handed in in the store, under an id of its own, for as long as the store keeps anything.

    per_day: pictures of one caller between two midnights (UTC), counted by this process.
    """

    def __init__(self, decoder: Decoder, store: Store, *, per_day: int) -> None:
        self._decoder, self._store, self._per_day = decoder, store, per_day
        self._one_at_a_time = Turns(1, None)
        self._day = 0
        self._counts: Counter[str] = Counter()

    async def keep(
        self, data: bytes, caller: Caller, notes: Mapping[str, str], deadline: Deadline, spend: Spend
    ) -> str:
        """The id. The picture is written anew: neither its metadata nor anything hidden in it is kept.

        Raises RateLimited, PayloadTooLarge, and what decoder and store raise.
        """
        if len(data) > MAX_BYTES:
            raise PayloadTooLarge(public=f"At most {MAX_BYTES} bytes are taken here.")
        self._count(caller)
        async with self._one_at_a_time.turn():
            picture = await self._decoder.decode(data, deadline=deadline)
            await spend(picture.megapixels)
            encoded = await asyncio.to_thread(encode, picture.rgb, "jpeg", _QUALITY)
        id = uuid.UUID(owned(uuid.uuid4().hex, caller.id))
        facts = {"width": str(encoded.width), "height": str(encoded.height), "model": "", "bounding_box": ""}
        facts |= {"handed_in_by": caller.id} | {name: _short(text) for name, text in notes.items()}
        await self._store.put(f"{id.hex}.{encoded.extension}", encoded, facts=facts, deadline=deadline)
        return str(id)

    def _count(self, caller: Caller) -> None:
        day, seconds = divmod(time.time(), _DAY_SECONDS)
        if day != self._day:
            self._day = int(day)
            self._counts.clear()
        if self._counts[caller.bucket] >= self._per_day:
            raise RateLimited(
                f"{caller.id}: {self._per_day} pictures today",
                public=f"At most {self._per_day} pictures a day are taken here.",
                retry_after=_DAY_SECONDS - seconds,
            )
        self._counts[caller.bucket] += 1


def _short(text: str) -> str:
    text = text[:MAX_TEXT]
    while len(json.dumps(text)) > MAX_NOTE:
        text = text[:-1]
    return text
