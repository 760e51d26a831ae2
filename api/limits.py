"""Who may come in, how many at once, with how large a body and for how long: cheapest check first."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect, Request

from api.accounts import Accounts, Caller, Visit
from api.errors import (
    ClientGone,
    InvalidOptions,
    Overloaded,
    PayloadTooLarge,
    RateLimited,
    UploadTimeout,
)
from api.middleware import exchange_of
from api.once import once_of
from model.deadline import Deadline

T = TypeVar("T")

_ALMOST = 0.8
"""Of its patience: who by the pace of late would wait longer is refused, as the pace may yet slow down."""


class RequestLimits(BaseModel):
    """What one request, and all of them together, may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout: float = Field(
        20.0, gt=0, le=600, description="Seconds for a whole request; clients may ask for less by X-Timeout."
    )
    body_timeout: float = Field(15.0, gt=0, le=600, description="Seconds within which the body must arrive.")
    send_timeout: float = Field(
        30.0, gt=0, le=600, description="Seconds that a client may take over each piece of its answer."
    )
    body_bytes: int = Field(25_000_000, gt=0, description="Largest body of a request, bytes.")
    queue_timeout: float = Field(
        5.0,
        gt=0,
        le=600,
        description="Seconds that a request may wait for its turn to be decoded; then it is answered 429.",
    )
    in_flight: int = Field(
        64, ge=1, le=10_000, description="Requests worked on at once; more are answered 429."
    )


class InFlight:
    """Counts the requests that are being worked on, and refuses one too many, or too late, at once.

    limit: how many. at_once: how many of them have their turn at once: the others wait for one. patience:
    seconds that one may wait for it; by the pace of late it is known who would wait in vain. None: any time.
    """

    def __init__(
        self,
        limit: int,
        *,
        at_once: int = 1,
        patience: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._at_once = limit, at_once
        self._patience, self._clock = patience, clock
        self._mean = 1.0
        self._pace = 0.0  # seconds between one end and the next while others wait
        self._saturated_since: float | None = None
        self._of_callers: Counter[str] = Counter()
        self.count = 0

    @contextmanager
    def place(self, caller: Caller | None = None) -> Iterator[None]:
        """Holds one place, which also counts against the caller's share. Raises Overloaded, RateLimited."""
        if self.count >= self._limit:
            raise Overloaded(f"{self.count} requests in flight", retry_after=self._mean)
        self._require_patience()
        with self._place_of(caller) if caller else nullcontext():
            self.count += 1
            started = self._clock()
            try:
                yield
            finally:
                self.count -= 1
                self._mean += 0.1 * (self._clock() - started - self._mean)
                self._learn_pace()

    def _require_patience(self) -> None:
        """Not of the first who would wait: by that one's wait the pace is learnt when it has changed."""
        if self._patience is None or self.count <= self._at_once:
            return
        wait = (self.count + 1 - self._at_once) * self._pace
        if (excess := wait - _ALMOST * self._patience) > 0:
            raise Overloaded(f"would wait {wait:.1f} s for its turn", retry_after=excess)

    def _learn_pace(self) -> None:
        """Only from ends between which somebody was waiting all the time: an idle service has no pace."""
        now = self._clock()
        if self._saturated_since is not None:
            self._pace += 0.1 * (now - self._saturated_since - self._pace)
        self._saturated_since = now if self.count >= self._at_once else None

    @contextmanager
    def _place_of(self, caller: Caller) -> Iterator[None]:
        share = caller.plan.in_flight
        if share is not None and self._of_callers[caller.bucket] >= share:
            raise RateLimited(
                f"{caller.id}: {share} requests in flight",
                public="Too many requests at once.",
                retry_after=self._mean,
            )
        self._of_callers[caller.bucket] += 1
        try:
            yield
        finally:
            self._of_callers[caller.bucket] -= 1
            if not self._of_callers[caller.bucket]:
                del self._of_callers[caller.bucket]


class Gate:
    """What every route asks before it touches a body: who it is, a place, and one request of its minute."""

    def __init__(self, limits: RequestLimits, in_flight: InFlight, accounts: Accounts) -> None:
        self.limits = limits
        self.accounts = accounts
        self._in_flight = in_flight

    async def admit(self, request: Request, *, header: str = "x-api-key") -> Visit:
        """header: where the key is looked for, besides `Authorization: Bearer`.

        Raises InvalidOptions (a bad X-Timeout), Unauthorized, Overloaded, RateLimited, AccountsUnavailable;
        what speaks against the request's Idempotency-Key.
        """
        deadline = Deadline.after(self._timeout(request))
        caller = await self.accounts.identify(request, header)
        if once := once_of(request):
            if once.refusal:
                raise once.refusal
            caller = replace(caller, prepaid=once.expected is not None)
        exchange = exchange_of(request)
        exchange.fields["caller"] = caller.id
        exchange.held.enter_context(self._in_flight.place(caller))
        try:
            await self.accounts.enter(caller)
        finally:
            if rate := await self.accounts.rate(caller):
                exchange.headers |= rate.headers
        return Visit(deadline, caller, partial(self.accounts.spend_pixels, caller))

    async def admit_anyone(self, request: Request) -> Deadline:
        """The deadline, for a route that needs no key. Raises Overloaded, InvalidOptions."""
        exchange_of(request).held.enter_context(self._in_flight.place())
        return Deadline.after(self._timeout(request))

    def _timeout(self, request: Request) -> float:
        """Clients may shorten the clock, never lengthen it."""
        asked = request.headers.get("x-timeout")
        if asked is None:
            return self.limits.timeout
        try:
            seconds = float(asked)
        except ValueError:
            seconds = 0.0
        if not seconds > 0:  # NaN included
            raise InvalidOptions(public="X-Timeout: a number of seconds above 0 is wanted")
        return min(seconds, self.limits.timeout)


async def body_of(request: Request, limits: RequestLimits, deadline: Deadline) -> AsyncGenerator[bytes, None]:
    """The body piece by piece: refused by its announced length, counted all the same, and on the clock.

    Raises PayloadTooLarge, InvalidOptions, UploadTimeout, ClientGone.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal():
        raise InvalidOptions(public="Content-Length: a number is wanted")
    too_large = PayloadTooLarge(public=f"The upload is over {limits.body_bytes} bytes.")
    if int(announced[:20]) > limits.body_bytes:
        raise too_large
    size = 0
    until = asyncio.get_running_loop().time() + min(limits.body_timeout, deadline.remaining())
    pieces = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout_at(until):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise UploadTimeout(f"{size} bytes of {announced} had come") from None
        except ClientDisconnect:
            raise ClientGone("while uploading") from None
        size += len(piece)
        if size > limits.body_bytes:
            raise too_large
        yield piece


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives; when the client leaves first, `work` is cancelled. The body must have been read.

    Raises ClientGone, and whatever `work` raises.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnect(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone("while its picture was worked on")
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
