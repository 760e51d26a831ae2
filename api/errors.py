"""One tree of errors, from the wire's point of view.

    ObjectCutError                      500  internal_error
    ├── InvalidOptions, InvalidUrl      400  invalid_options
    ├── Unauthorized                    401  unauthorized
    ├── InsufficientCredits             402  insufficient_credits
    ├── Forbidden                       403  bad_signature
    ├── NotFound                        404  not_found
    ├── MethodNotAllowed                405  method_not_allowed
    ├── UploadTimeout                   408  upload_timeout
    ├── JobUnfinished                   409  job_unfinished
    ├── IdempotencyInFlight             409  idempotency_in_flight
    ├── PayloadTooLarge                 413  payload_too_large
    ├── UnsupportedImage                415  unsupported_image
    ├── SourceError
    │   ├── SourceForbidden             422  source_forbidden
    │   ├── SourceUnreachable           422  source_unreachable
    │   ├── SourceTruncated             422  source_truncated
    │   ├── SourceTooLarge              422  source_too_large
    │   └── SourceTimeout               504  source_timeout
    ├── CorruptImage                    422  corrupt_image
    ├── ImageTooLarge                   422  image_too_large
    ├── NoSubject                       422  no_subject
    ├── IdempotencyMismatch             422  idempotency_mismatch
    ├── LinkUnstorable                  422  link_unstorable
    ├── Overloaded                      429  overloaded
    ├── RateLimited                     429  rate_limited
    ├── ClientGone                      499  client_gone (logs only)
    ├── InferenceFailed                 500  inference_failed
    ├── ModelUnavailable                503  model_unavailable
    ├── OutOfMemory                     503  out_of_memory
    ├── Draining                        503  draining
    ├── AccountsUnavailable             503  accounts_unavailable
    ├── JobsUnavailable                 503  jobs_unavailable
    ├── StoreUnavailable                503  storage_unavailable
    ├── StoreFull                       503  storage_full
    └── DeadlineExceeded                504  deadline_exceeded

`str(error)` is for the logs. `public` is all that a client ever reads, and by default it is the
class's `title`: what we know of the inside of a failure stays inside. problems.py turns an error
into the body of each contract.
"""

from typing import ClassVar

from model import errors as model_errors


class ObjectCutError(Exception):
    """A fault of ours that nobody foresaw.

    As a class it is the root of the tree. detail: free text for the logs. public: the text for the client
    (default: the class's title). retry_after: seconds, sent as Retry-After.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side."
    report: ClassVar[bool] = True
    """Whether the log line is an error that somebody must look at, rather than the caller's business."""

    def __init__(
        self, detail: str = "", *, public: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(detail or public or self.title)
        self.public = public or self.title
        self.retry_after = retry_after


class InvalidOptions(ObjectCutError):
    """An option is unknown, malformed, out of range, or contradicts another one."""

    status, code, title, report = 400, "invalid_options", "An option of the request is not valid.", False


class InvalidUrl(InvalidOptions):
    """A URL's text alone shows that nothing is to be fetched from it.

    what: the URL as its sender knows it. reason: what is wrong with it, for the client.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(public=f"{what} is not valid: {reason}.")
        self.reason = reason


class Unauthorized(ObjectCutError):
    """No key, or a wrong one."""

    status, code, title, report = 401, "unauthorized", "A valid key is required.", False


class InsufficientCredits(ObjectCutError):
    """The key's credits do not cover this request."""

    status, code, title, report = 402, "insufficient_credits", "Not enough credits are left.", False


class Forbidden(ObjectCutError):
    """A signed URL that is altered or has expired."""

    status, code, title, report = 403, "bad_signature", "This link is not valid or has expired.", False


class NotFound(ObjectCutError):
    """No such route, or no such cutout (any more)."""

    status, code, title, report = 404, "not_found", "There is nothing here.", False


class MethodNotAllowed(ObjectCutError):
    """The route exists, with other methods."""

    status, code, title, report = 405, "method_not_allowed", "This route does not take that method.", False


class UploadTimeout(ObjectCutError):
    """The request's body did not arrive in time."""

    status, code, title, report = 408, "upload_timeout", "The upload took too long.", False


class JobUnfinished(ObjectCutError):
    """The results of a job were asked for before it had ended."""

    status, code, title, report = 409, "job_unfinished", "The job has not finished yet.", False


class IdempotencyInFlight(ObjectCutError):
    """The first request with this Idempotency-Key has not been answered yet."""

    status, code, title = 409, "idempotency_in_flight", "The first request with this key is still worked on."
    report = False


class PayloadTooLarge(ObjectCutError):
    """The request's body, one of its parts, or their number is over the limit."""

    status, code, title, report = 413, "payload_too_large", "The upload is too large.", False


class UnsupportedImage(ObjectCutError):
    """The bytes are not one of the image formats that we read."""

    status, code, title = 415, "unsupported_image", "This is not an image format that we read."
    report = False


class SourceError(ObjectCutError):
    """The image behind a URL could not be had."""

    status, code, title, report = 422, "source_unreachable", "The image could not be downloaded.", False


class SourceForbidden(SourceError):
    """The guard refused the address. The client never learns why: it must not map a network with us."""

    code = "source_forbidden"


class SourceUnreachable(SourceError):
    """DNS, connection, TLS or HTTP failed, or the answer was not a 200."""

    code = "source_unreachable"


class SourceTruncated(SourceError):
    """The origin closed before it had sent what it had promised."""

    code, title = "source_truncated", "The image ended before its announced length."


class SourceTooLarge(SourceError):
    """The origin's answer is over the limit of bytes."""

    code, title = "source_too_large", "The image behind the URL is too large."


class SourceTimeout(SourceError):
    """The origin was too slow. The text is SourceUnreachable's; the code tells who should try again."""

    status, code = 504, "source_timeout"


class CorruptImage(ObjectCutError):
    """It began as an image that we read and did not go on as one."""

    status, code, title, report = 422, "corrupt_image", "The image is damaged or incomplete.", False


class ImageTooLarge(ObjectCutError):
    """More pixels, or a longer side, than the limit."""

    status, code, title, report = 422, "image_too_large", "The image has too many pixels.", False


class NoSubject(ObjectCutError):
    """A crop to the subject was asked for and the matte is empty."""

    status, code, title, report = 422, "no_subject", "No subject was found in the image.", False


class IdempotencyMismatch(ObjectCutError):
    """The Idempotency-Key was used before, with another request."""

    status, code, title = 422, "idempotency_mismatch", "This Idempotency-Key belongs to another request."
    report = False


class LinkUnstorable(ObjectCutError):
    """An answer with a link was asked for, and that nothing be stored."""

    status, code, title = 422, "link_unstorable", "A link needs a stored result: ask for the bytes."
    report = False


class Overloaded(ObjectCutError):
    """A queue is full, or the wait in it too long.

    429 rather than 503: breakers and retries, which watch 5xx, stay out of it.
    """

    status, code, title, report = 429, "overloaded", "The service is busy: please try again shortly.", False


class RateLimited(ObjectCutError):
    """The caller has used up what its plan allows in a minute, or at once."""

    status, code, title = 429, "rate_limited", "The limit of your plan is reached."
    report = False


class ClientGone(ObjectCutError):
    """The client closed the connection; nobody reads this, it is for the logs."""

    status, code, title, report = 499, "client_gone", "The client closed the connection.", False


class InferenceFailed(ObjectCutError):
    """The network could not compute this picture."""

    status, code, title = 500, "inference_failed", "The subject of this image could not be computed."


class ModelUnavailable(ObjectCutError):
    """The model's weights are not here; the answer names the command that brings them."""

    status, code, title = 503, "model_unavailable", "This model is not available on this server."


class OutOfMemory(ObjectCutError):
    """The device cannot hold even this one image."""

    status, code, title = 503, "out_of_memory", "The server ran out of memory for this image."


class Draining(ObjectCutError):
    """The server is shutting down."""

    status, code, title, report = 503, "draining", "The server is restarting: please try again.", False


class AccountsUnavailable(ObjectCutError):
    """Keys and quotas cannot be looked up: their database or Redis does not answer."""

    status, code, title = 503, "accounts_unavailable", "Your key cannot be checked at the moment."


class JobsUnavailable(ObjectCutError):
    """The database of jobs and of kept answers does not answer, or cannot be written."""

    status, code, title = 503, "jobs_unavailable", "Jobs cannot be kept at the moment."


class StoreUnavailable(ObjectCutError):
    """The result could not be stored. Answers that carry the bytes never need storage."""

    status, code, title = 503, "storage_unavailable", "The result could not be stored."


class StoreFull(StoreUnavailable):
    """The local store is under its floor of free space."""

    code = "storage_full"


class DeadlineExceeded(ObjectCutError):
    """The request's time ran out."""

    status, code, title = 504, "deadline_exceeded", "The request took too long."
    report = False


_OF_MODEL: dict[type[model_errors.ModelError], type[ObjectCutError]] = {
    model_errors.Overloaded: Overloaded,
    model_errors.Draining: Draining,
    model_errors.DeadlineExceeded: DeadlineExceeded,
    model_errors.InferenceFailed: InferenceFailed,
    model_errors.OutOfMemory: OutOfMemory,
    model_errors.DeviceLost: ModelUnavailable,
    model_errors.ModelUnavailable: ModelUnavailable,
}


def as_error(exc: BaseException) -> ObjectCutError:
    """The tree's view of any exception: itself, a ModelError's counterpart, or an internal error.

    The latter two have it as their cause.
    """
    if isinstance(exc, ObjectCutError):
        return exc
    error = _counterpart(exc)
    error.__cause__ = exc
    return error


def _counterpart(exc: BaseException) -> ObjectCutError:
    for kind, error in _OF_MODEL.items():
        if isinstance(exc, kind):
            # ModelUnavailable's text names the command that helps; every other text is for the logs.
            public = str(exc) if isinstance(exc, model_errors.ModelUnavailable) else None
            return error(str(exc), public=public, retry_after=getattr(exc, "retry_after", None))
    return ObjectCutError(f"{type(exc).__name__}: {exc}")


def forget_frames(*dealt_with: BaseException | None) -> None:
    """Drops the tracebacks of errors that nobody will look at again, and the errors that led to them.

    A traceback holds the frames that it passed, and these hold the error again, by a name or by a task: such
    circles would keep whole pictures, and their file descriptors, until the garbage collector comes by.
    """
    left = list(dealt_with)
    while left:
        if error := left.pop():
            left += [error.__cause__, error.__context__]
            error.__traceback__ = error.__cause__ = error.__context__ = None
