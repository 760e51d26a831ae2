"""What remove.bg's clients read: the `errors` list of every failure, and the facts of a success."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import errors
from api.problems import headers_of

Findings = tuple[int, str, str]
"""Status, code, title."""

_KINDS: tuple[tuple[type[errors.ObjectCutError], Findings], ...] = (
    (errors.InvalidUrl, (400, "invalid_image_url", "Invalid image_url")),
    (errors.InvalidOptions, (400, "invalid_parameters", "Invalid parameters")),
    (errors.SourceTooLarge, (400, "file_too_large", "The image behind the URL is too large")),
    (errors.SourceError, (400, "failed_image_download", "Failed to download image from given image_url")),
    (errors.CorruptImage, (400, "failed_to_read_image", "Failed to read image")),
    (errors.ImageTooLarge, (400, "resolution_too_high", "Image resolution is too high")),
    (errors.NoSubject, (400, "unknown_foreground", "Could not identify foreground in image")),
    (errors.InsufficientCredits, (402, "insufficient_credits", "Insufficient credits")),
    (errors.Unauthorized, (403, "auth_failed", "API Key invalid")),
    (errors.PayloadTooLarge, (413, "file_too_large", "File too large")),
    (errors.RateLimited, (429, "rate_limit_exceeded", "Rate limit exceeded")),
    # Their clients give up after 20 s of silence: a pause helps, another 4xx or 504 would not be understood.
    (errors.DeadlineExceeded, (503, "deadline_exceeded", "The request took too long")),
)
"""Ours as theirs, the first that fits; any other keeps its own status, code and title."""


class Refused(errors.InvalidOptions):
    """A request that this contract has a code of its own for. reason: that code."""

    def __init__(self, reason: str, title: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}", public=detail)
        self.findings: Findings = (400, reason, title)


class UnsupportedBody(errors.UnsupportedImage):
    """The request's body is of none of the three types."""


def failure(error: errors.ObjectCutError, request: Request) -> Response:
    """The answer to a request that failed."""
    status, code, title = _findings(error)
    if isinstance(error, errors.Unauthorized):
        keyed = request.headers.get("x-api-key") or request.headers.get("authorization")
        title = title if keyed else "Missing API Key"
        detail = "Send the key of this service in the header X-Api-Key."
    else:
        detail = error.public
    headers = headers_of(error)
    headers.pop("WWW-Authenticate", None)  # belongs to a 401
    if status in (429, 503):
        headers.setdefault("Retry-After", "2")
    body = {"errors": [{"title": title, "code": code, "detail": detail}]}
    return Response(json.dumps(body), status, headers, "application/json")


def _findings(error: errors.ObjectCutError) -> Findings:
    if isinstance(error, Refused):
        return error.findings
    if isinstance(error, UnsupportedBody):
        return 415, "unsupported_media_type", "Unsupported content type"
    if isinstance(error, errors.UnsupportedImage):
        return 400, "invalid_file_type", "File type not supported"
    for kind, findings in _KINDS:
        if isinstance(error, kind):
            return findings
    return error.status, error.code, error.title


def wants_json(accept: str) -> bool:
    """Whether JSON alone is asked for.

    axios sends `application/json, text/plain, */*` with everything: it is answered in bytes, as it was.
    """
    kinds = {entry.partition(";")[0].strip().lower() for entry in accept.split(",")}
    bytes_too = any(kind in ("*/*", "application/zip") or kind.startswith("image/") for kind in kinds)
    return "application/json" in kinds and not bytes_too


def as_json(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """200 with this body, kept by nobody."""
    extra = {"Cache-Control": "no-store"} | dict(headers or {})
    return Response(json.dumps(body), headers=extra, media_type="application/json")
