"""What can go wrong, by the `code` of the service's problem bodies.

ObjectCutError
├── ConnectionFailed      no answer came
├── TimedOut              this client's own deadline
├── WebhookError          a delivery that is not to be trusted
└── ApiError              the service answered with a failure
    ├── BadRequest        InsufficientCredits, Unauthorized, NotFound, Conflict beside it
    ├── ImageProblem      the picture cannot be read, is too large, has no subject
    ├── SourceProblem     the picture behind a URL cannot be had
    ├── Busy              429: try again after `retry_after`
    ├── Unavailable       503 and 504 of the service itself
    └── ServerFailed      500
"""

from collections.abc import Mapping
from typing import Any


class ObjectCutError(Exception):
    """Any failure of this client."""


class ConnectionFailed(ObjectCutError):
    """No answer came, however often it was tried."""


class TimedOut(ObjectCutError):
    """The time that the caller had given is over."""


class WebhookError(ObjectCutError):
    """A webhook whose signature is wrong, or that is too old."""


class ApiError(ObjectCutError):
    """A failure that the service told.

    status: HTTP's. code: stable across releases, see /errors of the service. request_id: finds the line
    in the server's log. retry_after: seconds, where the service named them.
    """

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        *,
        detail: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail or title}")
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after


class BadRequest(ApiError):
    """The request itself is wrong: sending it again is in vain."""


class Unauthorized(ApiError):
    """No key, a wrong one, or a link that is altered or has expired."""


class InsufficientCredits(ApiError):
    """The key's credits do not cover the request."""


class NotFound(ApiError):
    """No such cutout or job (any more)."""


class Conflict(ApiError):
    """The job has not finished, or the same request is under way."""


class ImageProblem(ApiError):
    """The picture cannot be read, is too large, or has no subject to crop to."""


class SourceProblem(ApiError):
    """The picture behind a URL cannot be had."""


class Busy(ApiError):
    """A queue is full, or the caller's minute is used up."""


class Unavailable(ApiError):
    """The service cannot do it now."""


class ServerFailed(ApiError):
    """A fault of the service."""


BY_CODE: Mapping[str, type[ApiError]] = {
    "invalid_options": BadRequest,
    "method_not_allowed": BadRequest,
    "payload_too_large": BadRequest,
    "upload_timeout": BadRequest,
    "idempotency_mismatch": BadRequest,
    "unauthorized": Unauthorized,
    "bad_signature": Unauthorized,
    "insufficient_credits": InsufficientCredits,
    "not_found": NotFound,
    "link_unstorable": BadRequest,
    "job_unfinished": Conflict,
    "idempotency_in_flight": Conflict,
    "unsupported_image": ImageProblem,
    "corrupt_image": ImageProblem,
    "image_too_large": ImageProblem,
    "no_subject": ImageProblem,
    "source_forbidden": SourceProblem,
    "source_unreachable": SourceProblem,
    "source_truncated": SourceProblem,
    "source_too_large": SourceProblem,
    "source_timeout": SourceProblem,
    "overloaded": Busy,
    "rate_limited": Busy,
    "model_unavailable": Unavailable,
    "out_of_memory": Unavailable,
    "draining": Unavailable,
    "accounts_unavailable": Unavailable,
    "jobs_unavailable": Unavailable,
    "storage_unavailable": Unavailable,
    "storage_full": Unavailable,
    "deadline_exceeded": Unavailable,
    "internal_error": ServerFailed,
    "inference_failed": ServerFailed,
}
_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Unauthorized,
    402: InsufficientCredits,
    404: NotFound,
    409: Conflict,
    429: Busy,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""For what a proxy says, and for codes that are newer than this client."""


def api_error(status: int, body: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """The error of a problem body; also of the `error` of a job's item. A body that is none will do."""
    code = str(body.get("code", ""))
    kind = BY_CODE.get(code) or _BY_STATUS.get(status) or (ServerFailed if status >= 500 else BadRequest)
    return kind(
        status,
        code or "unknown",
        str(body.get("title", "The service answered with a failure.")),
        detail=body.get("detail"),
        request_id=body.get("request_id"),
        retry_after=retry_after,
    )
