"""What a request with an Idempotency-Key carries through the service."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from starlette.requests import Request
from starlette.types import Scope

from api.errors import IdempotencyMismatch, ObjectCutError

_SCOPE = "objectcut.once"


@dataclass(slots=True)
class Once:
    """key: as the client sent it. about: all of the request but its body.

    refusal: raised when the request is admitted, so that each contract gives it its own shape.
    expected: the fingerprint of the first request, whose answer is to be made again; that was paid for.
    answered: headers of that answer, by their names in lower case.
    fingerprint: of this request, once its body has been read.
    """

    key: str
    about: tuple[str, ...]
    refusal: ObjectCutError | None = None
    expected: str | None = None
    answered: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None


def carry(scope: Scope, once: Once) -> None:
    """Puts it into the request's scope."""
    scope[_SCOPE] = once


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
        if once.expected not in (None, once.fingerprint):
            raise IdempotencyMismatch()


def _fingerprint(about: tuple[str, ...], fields: Mapping[str, object], files: Mapping[str, bytes]) -> str:
    # Whether one value is told alone or in a list is up to who reads the form.
    said = [
        [name, value[0] if isinstance(value, list) and len(value) == 1 else value]
        for name, value in sorted(fields.items())
    ]
    sent = [[name, sha256(data).hexdigest()] for name, data in sorted(files.items())]
    return sha256(json.dumps([about, said, sent]).encode("utf-8", "surrogatepass")).hexdigest()
