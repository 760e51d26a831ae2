"""One request and its answer: its id, its single log line, its place in the metrics, its error's body."""

import asyncio
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.errors import ClientGone, ObjectCutError, forget_frames
from api.logs import REQUEST_ID, REQUESTS
from api.metrics import Metrics
from api.tracing import Tracing, Untraced

Dialect = Callable[[ObjectCutError, Request], Response]
Recorder = Callable[[Message], Awaitable[Sequence[Message]]]

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: nobody wants a trace of these."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KEY = "objectcut.exchange"
SECURE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(slots=True)
class Exchange:
    """What is known of a request while it is answered.

    fields: more for its log line. headers: more for its answer, where the route does not set them itself.
    held: let go of when the last byte of the answer has left, or cannot leave.
    error: set by the contracts whose failures do not look like ours. recorder: is shown every message of the
    answer, and gives those that may be sent.
    """

    id: str
    fields: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    held: ExitStack = field(default_factory=ExitStack)
    error: ObjectCutError | None = None
    status: int = 0
    recorder: Recorder | None = None


def exchange_of(request: Request) -> Exchange:
    """The Exchange that the middleware opened for this request."""
    return cast(Exchange, request.scope[_KEY])


class SecureAnswers:
    """Headers that keep a browser from doing with an answer what was not meant; routes may be stricter."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURE_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, secured)


class Exchanges:
    """Around every route, and the only place where failures are logged, counted and given a body."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        send_timeout: float,
        tracing: Tracing | None = None,
        traced: Callable[[Scope], bool] = lambda scope: scope["path"] not in _QUIET,
        dialects: Mapping[str, Dialect] | None = None,
        effective: tuple[str, ...] = (),
    ) -> None:
        """send_timeout: seconds that a client may take over each piece of its answer.

        traced: which requests have a span, and may go on with a trace of somebody else's.
        dialects: by the path's beginning, what writes the failures of contracts whose bodies are not ours.
        effective: beginnings of paths whose GETs are more than looking: HEAD is none of their methods.
        """
        self.app = app
        self._dialects = dialects or {}
        self._metrics = metrics
        self._tracing = tracing or Untraced()
        self._traced = traced
        self._send_timeout = send_timeout
        self._effective = effective

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with self._tracing.request(scope) if self._traced(scope) else nullcontext():
            await self._exchange(scope, receive, send)

    async def _exchange(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = scope[_KEY] = Exchange(request_id_of(scope))
        REQUEST_ID.set(exchange.id)
        started = time.perf_counter()
        method = scope["method"]
        patient = self._sender(exchange, send, bodiless=method == "HEAD")
        # What GET would answer, without the body: FastAPI's routes know GET alone.
        if method == "HEAD" and not scope["path"].startswith(self._effective):
            scope = {**scope, "method": "GET"}
        failure: BaseException | None = None
        try:
            await self.app(scope, receive, patient)
        except Exception as exc:
            failure = exc
            exchange.error = problems.as_problem(exc)
            if not exchange.status and not isinstance(exchange.error, ClientGone):
                answer = self._failure(exchange.error, exchange.id, Request(scope))
                answer.headers.update((isinstance(exc, HTTPException) and exc.headers) or {})
                await answer(scope, receive, patient)
        except asyncio.CancelledError as exc:  # the server has run out of patience while shutting down
            failure, exchange.error = exc, ClientGone("cancelled")
            raise
        finally:
            exchange.held.close()
            self._record(method, _route(scope), exchange, failure, time.perf_counter() - started)
            forget_frames(failure, exchange.error)

    def _failure(self, error: ObjectCutError, request_id: str, request: Request) -> Response:
        path = f"{request.scope['path']}/"
        for beginning, write in self._dialects.items():
            if path.startswith(f"{beginning}/"):
                return write(error, request)
        return problems.response(error, request_id)

    def _sender(self, exchange: Exchange, send: Send, *, bodiless: bool) -> Send:
        async def patient(message: Message) -> None:
            for each in await exchange.recorder(message) if exchange.recorder else (message,):
                await deliver(each)

        async def deliver(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = exchange.id
                for name, value in exchange.headers.items():
                    headers.setdefault(name, value)
            elif bodiless:
                message = {**message, "body": b""}
            try:
                async with asyncio.timeout(self._send_timeout):
                    await send(message)
            except TimeoutError:
                raise ClientGone("did not read its answer") from None

        return patient

    def _record(
        self, method: str, route: str, exchange: Exchange, failure: BaseException | None, seconds: float
    ) -> None:
        error = exchange.error
        status = exchange.status or (error.status if error else 499)
        # A label's values last as long as the process: strangers must not be able to make up new ones.
        method_label = method if method in _METHODS else "-"
        self._metrics.request(method_label, route, status, seconds)
        self._tracing.answered(method_label, route, status, exchange.id)
        fields = {
            "request_id": exchange.id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            **exchange.fields,
        }
        level = logging.INFO
        traceback = None
        if error is not None:
            self._metrics.error(error.code)
            fields |= {"code": error.code, "detail": str(error)}
            level = logging.ERROR if error.report else logging.INFO
            # Of our own errors the detail says enough; what nobody foresaw needs its whole story.
            traceback = failure if error.code == ObjectCutError.code else None
        REQUESTS.log(level, "request", extra={"fields": fields}, exc_info=traceback)


def _route(scope: Scope) -> str:
    """The route's template: a request's own text is no label."""
    if (path := getattr(scope.get("route"), "path", None)) is not None:
        return str(path)
    # FastAPI's own routes leave their endpoint alone, and have no parameters.
    return str(scope["path"]) if "endpoint" in scope else "unmatched"


def request_id_of(scope: Scope) -> str:
    """The caller's own X-Request-Id where it is one that we take; else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _ACCEPTED_ID.fullmatch(given) else str(uuid.uuid4())
