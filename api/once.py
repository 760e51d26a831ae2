"""What a request with an Idempotency-Key carries through the service."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import sha256

from starlette.requests import Request
from starlette.types import Scope

from api.errors import IdempotencyMismatch, ObjectCutError
from api.types import Deadline, Fetcher

_SCOPE = "objectcut.once"
_DIGITS = 64
"""Of a SHA-256."""


@dataclass(slots=True)
class Once:
    """key: as the client sent it. about: all of the request but its body.

    refusal: raised when the request is admitted, so that each contract gives it its own shape.
    expected: `all_of_it` of the first request, whose answer is to be made again; that was paid for.
    answered: headers of that answer, by their names in lower case.
    fingerprint: of this request, once its body has been read. fetched: of what its URLs led to, in turn.
    """

    key: str
    about: tuple[str, ...]
    refusal: ObjectCutError | None = None
    expected: str | None = None
    answered: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None
    fetched: list[str] = field(default_factory=list)

    @property
    def all_of_it(self) -> str:
        """Fingerprint and `fetched`, 64 characters each: what an answer that has to be made again was to."""
        return "".join([self.fingerprint or "", *self.fetched])


_CURRENT: ContextVar[Once | None] = ContextVar("once", default=None)


@contextmanager
def carried(scope: Scope, once: Once) -> Iterator[None]:
    """It is the request's meanwhile, by its scope and by the context of whoever works for it."""
    scope[_SCOPE] = once
    token = _CURRENT.set(once)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def once_of(request: Request) -> Once | None:
    """None: the request has no key."""
    once: Once | None = request.scope.get(_SCOPE)
    return once


async def note(request: Request, fields: Mapping[str, object], files: Mapping[str, bytes]) -> None:
    """Takes the fingerprint of a request whose body has been read.

    Of what it says and not of its bytes: a client that tries again may write its form anew, with another
    boundary. Raises IdempotencyMismatch.
    """
    if once := once_of(request):
        once.fingerprint = await asyncio.to_thread(_fingerprint, once.about, fields, files)
        if once.expected and once.expected[:_DIGITS] != once.fingerprint:
            raise IdempotencyMismatch()


class NotingFetcher:
    """A fetcher that takes the fingerprint of what a request's URLs lead to."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def fetch(self, url: str, *, deadline: Deadline) -> bytes:
        """Raises IdempotencyMismatch: to another picture than the first time, which alone was paid for."""
        data = await self._fetcher.fetch(url, deadline=deadline)
        await _note_fetched(data)
        return data

    async def close(self) -> None:
        """See api.types.Fetcher."""
        await self._fetcher.close()


async def _note_fetched(data: bytes) -> None:
    if once := _CURRENT.get():
        once.fetched.append(await asyncio.to_thread(lambda: sha256(data).hexdigest()))
        at = _DIGITS * len(once.fetched)
        if once.expected and once.expected[at : at + _DIGITS] != once.fetched[-1]:
            raise IdempotencyMismatch()


def _fingerprint(about: tuple[str, ...], fields: Mapping[str, object], files: Mapping[str, bytes]) -> str:
    # Whether one value is told alone or in a list is up to who reads the form.
    said = [
        [name, value[0] if isinstance(value, list) and len(value) == 1 else value]
        for name, value in sorted(fields.items())
    ]
    sent = [[name, sha256(data).hexdigest()] for name, data in sorted(files.items())]
    return sha256(json.dumps([about, said, sent]).encode("utf-8", "surrogatepass")).hexdigest()
