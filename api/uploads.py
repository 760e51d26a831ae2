"""A request's body, whatever its shape, as text fields and files in memory. Nothing is spooled to disk."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from api.errors import InvalidOptions, PayloadTooLarge, UnsupportedImage
from api.limits import RequestLimits, body_of
from api.once import note
from model.deadline import Deadline

T = TypeVar("T")

MAX_FIELDS = 30
MAX_FILES = 2
_FORM = "application/x-www-form-urlencoded"
_LARGE_BYTES = 100_000
_MAX_VALUES = 50_000
"""Of a JSON body, roughly: none that anybody means has so many, and each costs time that no thread takes off
the event loop, as the parser keeps the interpreter to itself."""


@dataclass(frozen=True, slots=True)
class Upload:
    """fields: text by name, the query's too; of JSON its own values. files: bytes by name.

    A raw body is the file `image`. Fields that are empty text are left out: that is how HTML forms
    send what nobody filled in. So are files without a byte; their names are in `empty`.
    """

    fields: dict[str, object] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()

    def file(self, name: str) -> bytes:
        """A file that must be there. Raises InvalidOptions, in the words of basnet-http and ar-cutpaste."""
        if name not in self.files:
            raise InvalidOptions(
                public="empty image" if name in self.empty else f"missing file param `{name}`"
            )
        return self.files[name]


async def read_upload(
    request: Request, limits: RequestLimits, deadline: Deadline, *, repeatable: frozenset[str] = frozenset()
) -> Upload:
    """Reads the whole body of a multipart, urlencoded, JSON or raw image request.

    repeatable: names that may be given more than once; their values come as a list.
    Raises InvalidOptions, PayloadTooLarge, UnsupportedImage (the body's type), UploadTimeout, ClientGone,
    IdempotencyMismatch.
    """
    upload = await _read(request, limits, deadline, repeatable)
    await note(request, upload.fields, upload.files)
    return upload


async def _read(
    request: Request, limits: RequestLimits, deadline: Deadline, repeatable: frozenset[str]
) -> Upload:
    query = request.query_params.multi_items()
    if request.method == "GET":  # a body has no meaning there, nor has what clients say of its type
        return Upload(_collect(query, repeatable))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = body_of(request, limits, deadline)
    if kind == "multipart/form-data":
        pairs, files = await _multipart(request.headers, body, limits)
        sent = {name: data for name, data in files.items() if data}
        return Upload(_collect([*query, *pairs], repeatable), sent, frozenset(files.keys() - sent))
    data = b"".join([piece async for piece in body])
    if kind == _FORM:
        return Upload(_collect([*query, *await _parsed(_urlencoded, data)], repeatable))
    if kind == "application/json":
        return Upload(_merge(_collect(query, repeatable), await _parsed(_json, data)))
    if kind.startswith("image/") or kind in ("", "application/octet-stream"):
        return Upload(_collect(query, repeatable), {"image": data} if data else {})
    raise UnsupportedImage(
        f"content type {kind[:80]!r}", public="Send multipart/form-data, application/json or an image."
    )


class _InMemory(MultiPartParser):
    """Starlette's parser, without its temporary files and with a limit on parts of every kind."""

    spool_max_size = sys.maxsize

    def __init__(self, headers: Headers, stream: AsyncGenerator[bytes, None], max_part_size: int) -> None:
        super().__init__(headers, stream, max_part_size=max_part_size)
        self._left = {"files": MAX_FILES, "fields": MAX_FIELDS}
        self._complete = False

    def on_end(self) -> None:
        self._complete = True

    async def parse(self) -> FormData:
        form = await super().parse()
        if not self._complete:  # otherwise the last part would silently be missing
            raise MultiPartException("no closing boundary")
        return form

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        kind = "files" if self._current_part.file is not None else "fields"
        self._left[kind] -= 1
        if self._left[kind] < 0:
            raise PayloadTooLarge(public=f"Too many {kind} in the form.")


async def _multipart(
    headers: Headers, body: AsyncGenerator[bytes, None], limits: RequestLimits
) -> tuple[list[tuple[str, str]], dict[str, bytes]]:
    try:
        form = await _InMemory(headers, body, limits.body_bytes).parse()
    except MultiPartException as exc:
        raise InvalidOptions(f"multipart: {exc.message}", public="The form is not well-formed.") from exc
    pairs: list[tuple[str, str]] = []
    files: dict[str, bytes] = {}
    try:
        for name, value in form.multi_items():
            if isinstance(value, str):
                pairs.append((name, value))
            elif name in files:
                raise InvalidOptions(public=f"{name[:40]}: given twice")
            else:
                files[name] = await value.read()
    finally:
        await form.close()
    return pairs, files


async def _parsed(parse: Callable[[bytes], T], data: bytes) -> T:
    """What `parse` makes of a body. Ten megabytes take a while, and the event loop has others to serve."""
    return parse(data) if len(data) < _LARGE_BYTES else await asyncio.to_thread(parse, data)


def _urlencoded(data: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(data.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError as exc:
        raise InvalidOptions(public="The form is not UTF-8 text.") from exc
    except ValueError as exc:
        raise PayloadTooLarge(public="Too many fields in the form.") from exc


def _json(data: bytes) -> dict[str, object]:
    if sum(map(data.count, (b",", b"[", b"{"))) > _MAX_VALUES:
        raise PayloadTooLarge(public="Too many values in the body.")
    try:
        value = from_json(data)
    except ValueError as exc:
        raise InvalidOptions(f"JSON: {exc}", public="The body is not valid JSON.") from exc
    if not isinstance(value, dict):
        raise InvalidOptions(public="The body is not a JSON object.")
    return value


def _collect(pairs: Iterable[tuple[str, str]], repeatable: frozenset[str]) -> dict[str, object]:
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:
            given.setdefault(name, []).append(value)
    for name, values in given.items():
        if len(values) > 1 and name not in repeatable:
            raise InvalidOptions(public=f"{name[:40]}: given twice")
    return {name: values if name in repeatable else values[0] for name, values in given.items()}


def _merge(query: dict[str, object], body: dict[str, object]) -> dict[str, object]:
    if twice := query.keys() & body.keys():
        raise InvalidOptions(public=f"{min(twice)[:40]}: given twice")
    return query | body
