"""Idempotency-Key: a POST that is repeated is answered again, and nothing is done twice.

Around the routes of every contract. What is refused is raised by the Gate, inside of the route: so it has the
shape of the route's contract.
"""

import logging
import re
from collections.abc import Mapping, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.accounts import Caller
from api.errors import (
    IdempotencyInFlight,
    IdempotencyMismatch,
    InvalidOptions,
    JobsUnavailable,
    ObjectCutError,
)
from api.jobs.answers import Answer, KeptAnswers
from api.limits import Gate
from api.middleware import Exchange, exchange_of
from api.once import Once, carried
from api.uploads import read_upload

logger = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
_FORM = re.compile(r"[\x21-\x7e]{1,255}")
_PASSING = frozenset({401, 402, 408, 409, 429, 499})
_IN_FLIGHT_SECONDS = 1.0
_JSON = ("application/json", "application/problem+json")


class Idempotency:
    """Inside of Exchanges. Of requests in flight each process knows its own; kept answers are shared.

    repeatable: names of fields that a route takes more than once. key_headers: by path, where the caller's
    key is looked for if not in X-Api-Key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        answers: KeptAnswers,
        repeatable: frozenset[str],
        key_headers: Mapping[str, str],
    ) -> None:
        self.app = app
        self._gate, self._answers = gate, answers
        self._repeatable, self._key_headers = repeatable, key_headers
        self._in_flight: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get(HEADER) if scope["type"] == "http" else None
        if key is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        once = Once(key, _about(request))
        with carried(scope, once):
            await self._identified(once, request, receive, send)

    async def _identified(self, once: Once, request: Request, receive: Receive, send: Send) -> None:
        scope, key = request.scope, once.key
        try:
            caller = await self._gate.accounts.identify(request, self._header(request))
        except ObjectCutError:  # the route finds that, too, and says so in its contract's own way
            await self.app(scope, receive, send)
            return
        if not _FORM.fullmatch(key):
            once.refusal = InvalidOptions(public=f"{HEADER}: 1 to 255 visible ASCII characters are wanted")
            await self.app(scope, receive, send)
            return
        mark = (caller.bucket, key)
        if mark in self._in_flight:
            once.refusal = IdempotencyInFlight(retry_after=_IN_FLIGHT_SECONDS)
            await self.app(scope, receive, send)
            return
        self._in_flight.add(mark)
        try:
            await self._once(once, caller, request, send)
        finally:
            self._in_flight.discard(mark)

    async def _once(self, once: Once, caller: Caller, request: Request, send: Send) -> None:
        kept = None
        try:
            kept = await self._answers.find(caller.bucket, once.key)
        except JobsUnavailable as exc:  # better refused than perhaps done twice
            once.refusal = exc
        if kept is not None and kept.body is not None:
            once.refusal = await self._mismatch(once, kept, request)
            if once.refusal is None:
                await _replay(kept, send)
                return
        elif kept is not None:
            once.expected = kept.fingerprint
            once.answered = {name.lower(): value for name, value in kept.headers}
        exchange = exchange_of(request)
        exchange.recorder = _Recorder(once, caller, self._answers, exchange, repeated=kept is not None)
        await self.app(request.scope, request.receive, send)

    async def _mismatch(self, once: Once, kept: Answer, request: Request) -> ObjectCutError | None:
        """Why the kept answer must not be given: whatever there is to say against this request."""
        try:
            visit = await self._gate.admit(request, header=self._header(request))
            upload = await read_upload(
                request, self._gate.limits, visit.deadline, repeatable=self._repeatable
            )
        except ObjectCutError as exc:
            return exc
        finally:
            exchange_of(request).held.close()  # admitted again by the route, where that is to answer
        del upload
        return None if once.fingerprint == kept.fingerprint else IdempotencyMismatch()

    def _header(self, request: Request) -> str:
        return self._key_headers.get(request.url.path, "x-api-key")


class _Recorder:
    """Keeps an answer before its first byte leaves. repeated: one was kept before, without its body."""

    def __init__(
        self, once: Once, caller: Caller, answers: KeptAnswers, exchange: Exchange, *, repeated: bool
    ) -> None:
        self._once, self._caller, self._answers, self._exchange = once, caller, answers, exchange
        self._repeated = repeated
        self._held: list[Message] = []

    async def __call__(self, message: Message) -> Sequence[Message]:
        """What may be sent now: all that has been held back until now, or nothing yet."""
        if message["type"] == "http.response.start":
            if self._repeated and self._exchange.error is None:
                MutableHeaders(scope=message)[REPLAYED] = "true"
            if self._repeated or not self._is_kept(message["status"]):
                return [message]
            if not self._is_small(Headers(scope=message)):
                if self._exchange.error is None:  # what failed was not paid for, and may be done another time
                    await self._keep(message, None)
                return [message]
        elif not self._held:
            return [message]
        self._held.append(message)
        if message["type"] == "http.response.start" or message.get("more_body", False):
            return []
        held, self._held = self._held, []
        await self._keep(held[0], b"".join(each.get("body", b"") for each in held[1:]))
        return held

    def _is_kept(self, status: int) -> bool:
        """Not what may well be answered differently next time."""
        error = self._exchange.error
        status = error.status if error else status  # some contracts answer 200 whatever happens
        passing = status >= 500 or status in _PASSING or isinstance(error, IdempotencyMismatch)
        return self._once.fingerprint is not None and not passing

    def _is_small(self, headers: Mapping[str, str]) -> bool:
        """Our answers in JSON come whole, and with their length."""
        length = headers.get("content-length", "")
        return (
            headers.get("content-type", "").startswith(_JSON)
            and length.isdecimal()
            and int(length) <= self._answers.body_bytes
        )

    async def _keep(self, start: Message, body: bytes | None) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        fingerprint = self._once.fingerprint or "" if body is not None else self._once.all_of_it
        answer = Answer(fingerprint, start["status"], headers, body)
        try:
            await self._answers.keep(self._caller.bucket, self._once.key, answer)
        except JobsUnavailable as exc:
            logger.error("an answer was not kept: %s", exc)  # it is right all the same


async def _replay(answer: Answer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    headers.append((REPLAYED.lower().encode(), b"true"))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body or b""})


def _about(request: Request) -> tuple[str, ...]:
    """The query is among the fields."""
    return request.url.path, request.headers.get("accept", "")
