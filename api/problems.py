"""From an exception to the one body that every failure has, whatever its status.

RFC 9457 (`type`, `title`, `status`, `detail`) for one kind of reader, an `errors` list for the other, and
for both a stable `code` and the `request_id` that finds the log line.
"""

import math
import random
from collections.abc import Iterator, Mapping

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api import errors

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2.0
"""What a client is told when the failing part did not say how long it will take."""
PASSING = frozenset({429, 503})
"""Statuses of what passes: their answers say when to try again."""


class ProblemItem(BaseModel):
    """One thing that is wrong."""

    title: str
    code: str
    detail: str | None


class Problem(BaseModel):
    """The body of every answer that is not a success."""

    type: str = Field(description="A page about this kind of failure, relative to the server.")
    title: str = Field(description="What went wrong, for people.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="What went wrong, for programs: stable across releases.")
    detail: str | None = Field(description="More about this very case, where there is more to say.")
    request_id: str = Field(description="The X-Request-Id of this answer; it is in the server's log.")
    errors: list[ProblemItem] = Field(description="The single failures; more than one for bad options.")


def as_problem(exc: BaseException) -> errors.ObjectCutError:
    """Any exception that leaves a route, as a member of our tree."""
    match exc:
        case HTTPException(status_code=404):
            return errors.NotFound()
        case HTTPException(status_code=405):
            return errors.MethodNotAllowed()
        case RequestValidationError():
            return errors.InvalidOptions(public=_sentence(exc.errors()))
        case HTTPException(status_code=status) if status < 500:
            return errors.InvalidOptions(f"{status}: {exc.detail}")
        case _:
            return errors.as_error(exc)


def invalid(exc: ValidationError) -> errors.InvalidOptions:
    """pydantic's finding, as an error whose public text names the options and never repeats their values."""
    return errors.InvalidOptions(
        public=_sentence(exc.errors(include_url=False, include_input=False, include_context=False))
    )


def body(error: errors.ObjectCutError, request_id: str) -> Problem:
    """What a client reads of a failure."""
    detail = error.public if error.public != error.title else None
    # Of bad options there may be several: `_sentence` has joined them.
    findings = detail.split("; ") if detail and isinstance(error, errors.InvalidOptions) else [detail]
    return Problem(
        type=f"/errors#{error.code}",
        title=error.title,
        status=error.status,
        code=error.code,
        detail=detail,
        request_id=request_id,
        errors=[ProblemItem(title=error.title, code=error.code, detail=part) for part in findings],
    )


def response(
    error: errors.ObjectCutError, request_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that failed."""
    headers = headers_of(error) | dict(headers or {})
    return Response(body(error, request_id).model_dump_json(), error.status, headers, MEDIA_TYPE)


def headers_of(error: errors.ObjectCutError) -> dict[str, str]:
    """The headers of a failure, in every contract."""
    headers = {"Cache-Control": "no-store"}
    if error.retry_after is not None or error.status in PASSING:
        headers["Retry-After"] = str(_retry_after(error))
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def kinds() -> Iterator[type[errors.ObjectCutError]]:
    """Every class of the tree that has a code of its own, the root first."""
    waiting: list[type[errors.ObjectCutError]] = [errors.ObjectCutError]
    seen: set[str] = set()
    while waiting:
        kind = waiting.pop(0)
        waiting.extend(kind.__subclasses__())
        if kind.code not in seen:
            seen.add(kind.code)
            yield kind


def _retry_after(error: errors.ObjectCutError) -> int:
    """Whole seconds, at least 1. Up to a fifth more or less: callers shed together do not return together.

    Not for a caller's own limit: it is known when that ends, and before it would be in vain.
    """
    seconds = error.retry_after or RETRY_AFTER_SECONDS
    spread = 1.0 if isinstance(error, errors.RateLimited) else random.uniform(0.8, 1.2)  # noqa: S311
    return max(1, math.ceil(seconds * spread))


def _sentence(findings: object) -> str:
    """`field: what is wrong with it`, joined by semicolons."""
    parts = []
    for finding in findings if isinstance(findings, list | tuple) else ():
        where = ".".join(str(part) for part in finding["loc"] if part not in ("body", "query"))
        what = str(finding["msg"]).removeprefix("Value error, ").replace("; ", ", ")
        parts.append(f"{where}: {what}" if where else what)
    return "; ".join(parts)
