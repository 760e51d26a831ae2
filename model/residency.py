"""Which models are in memory: brought when they are wanted, sent away when others need the room."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from model.deadline import Deadline
from model.errors import DeviceLost, Draining, ModelUnavailable

__all__ = ["Residency", "Resident"]

_LOG = logging.getLogger(__name__)

_SHARE = 0.9
"""Of a request's remaining time that it waits for a model: the picture wants some, too."""

_RETRY_AFTER = 5.0


class Resident(Protocol):
    """A model in memory."""

    @property
    def memory_bytes(self) -> int:
        """What it takes."""
        ...

    async def leave(self) -> None:
        """Ends its work and frees its memory."""
        ...


R = TypeVar("R", bound=Resident)


@dataclass(slots=True)
class _Place(Generic[R]):
    resident: R
    users: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """until: when it may be tried again, seconds on the clock."""

    reason: str
    until: float


class Residency(Generic[R]):
    """Models by name, under a budget of bytes. All methods belong to one event loop.

    load: makes a model ready. estimate: the bytes that it will take, as far as one can tell; once it has been
    loaded, what it said itself. Both raise ModelUnavailable, whose text is public.
    budget: bytes for all models together; None: no end to it.
    patience: seconds that a load waits for another model to fall idle. hold: seconds after which a load that
    failed is tried again, and for which it is not before. clock: monotonic, seconds; a seam for tests.
    """

    def __init__(
        self,
        load: Callable[[str], Awaitable[R]],
        estimate: Callable[[str], Awaitable[int]],
        *,
        budget: int | None = None,
        patience: float = 30.0,
        hold: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._estimate = estimate
        self._budget = budget
        self._patience = patience
        self._hold = hold
        self._clock = clock
        self._places: dict[str, _Place[R]] = {}  # the one used last comes last
        self._sizes: dict[str, int] = {}
        self._failures: dict[str, _Failure] = {}
        self._loads: dict[str, asyncio.Task[ModelUnavailable | None]] = {}
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._awaited: Counter[str] = Counter()
        self._turn = asyncio.Lock()
        self._idle = asyncio.Event()
        self._closed = False

    @property
    def residents(self) -> Mapping[str, R]:
        """The models in memory."""
        return {name: place.resident for name, place in self._places.items()}

    def failure(self, name: str) -> str | None:
        """Why the model's latest load failed, or it was lost; None when all is well."""
        failure = self._failures.get(name)
        return failure.reason if failure else None

    async def settle(self, names: Iterable[str]) -> None:
        """Loads those that fit beside each other, in this order; the others wait to be wanted."""
        for name in names:
            await self._bring(name, evict=False)

    @asynccontextmanager
    async def use(self, name: str, deadline: Deadline) -> AsyncIterator[R]:
        """The model, which stays where it is meanwhile. Callers of one moment share one load.

        Raises ModelUnavailable: it could not be loaded, or, with `retry_after`, not in time; Draining.
        """
        self._awaited[name] += 1
        try:
            while not (place := self._places.get(name)):
                await self._wait_for(name, deadline)
            self._places[name] = self._places.pop(name)
            place.users += 1
        finally:
            self._awaited[name] -= 1
            self._idle.set()
        try:
            yield place.resident
        finally:
            place.users -= 1
            if not place.users:
                self._idle.set()

    def lose(self, name: str, reason: str) -> None:
        """The model is broken for good."""
        self._places.pop(name, None)
        self._failures[name] = _Failure(reason, math.inf)

    async def close(self) -> None:
        """Ends the loads that are under way and begins none any more; models stay for those who use them."""
        self._closed = True
        for timer in self._retries.values():
            timer.cancel()
        for task in self._loads.values():
            task.cancel()
        await asyncio.gather(*self._loads.values(), return_exceptions=True)

    async def _wait_for(self, name: str, deadline: Deadline) -> None:
        """Returns when the model has been loaded."""
        if self._closed:
            raise Draining("no more models are loaded")
        failure = self._failures.get(name)
        if failure and (seconds := failure.until - self._clock()) > 0:
            raise ModelUnavailable(
                failure.reason, retry_after=math.ceil(seconds) if math.isfinite(seconds) else None
            )
        task = self._begun(name, evict=True)
        await asyncio.wait({task}, timeout=_SHARE * deadline.remaining())
        if not task.done():
            raise ModelUnavailable(f"model '{name}' is being loaded", retry_after=_RETRY_AFTER)
        if task.cancelled():
            raise Draining("no more models are loaded")
        if error := task.result():
            raise ModelUnavailable(str(error), retry_after=error.retry_after)

    def _begun(self, name: str, *, evict: bool) -> asyncio.Task[ModelUnavailable | None]:
        """The load of the model, which all who wait for it share."""
        if name not in self._loads:
            self._loads[name] = task = asyncio.create_task(self._bring(name, evict=evict))
            task.add_done_callback(lambda _: self._loads.pop(name))
        return self._loads[name]

    def _retry(self, name: str) -> None:
        """Without being asked: while a model counts as failed, nobody is led here who would ask for it."""
        if not self._closed:
            self._begun(name, evict=False)

    async def _bring(self, name: str, *, evict: bool) -> ModelUnavailable | None:
        """Loads the model, one at a time; what prevented it. Only what is no want of room is remembered."""
        async with self._turn:
            if name in self._places:  # by a load that was under way already
                return None
            hold = self._hold
            try:
                resident = await self._placed(name, evict)
            except ModelUnavailable as exc:
                error = exc
                if self.failure(name) != str(exc):  # once, however often it is tried
                    _LOG.error("model '%s' is not loaded: %s", name, exc)
            except DeviceLost:
                error, hold = ModelUnavailable(f"model '{name}' has lost its device"), math.inf
                _LOG.exception("model '%s' is not loaded", name)
            except Exception:  # whatever it is, the other models can serve
                error = ModelUnavailable(f"model '{name}' could not be loaded")
                _LOG.exception("model '%s' is not loaded", name)
            else:
                self._failures.pop(name, None)
                self._places[name] = _Place(resident)
                return None
            if error.retry_after is not None:
                self._failures.pop(name, None)  # there is no want but of room
                return error
            self._failures[name] = _Failure(str(error), self._clock() + hold)
            if math.isfinite(hold):
                self._retries[name] = asyncio.get_running_loop().call_later(hold, self._retry, name)
            return error

    async def _placed(self, name: str, evict: bool) -> R:
        if self._budget is None:
            return await self._load(name)
        if name not in self._sizes:
            self._sizes[name] = await self._estimate(name)
        await self._make_room(name, evict)
        resident = await self._load(name)
        self._sizes[name] = resident.memory_bytes
        try:
            await self._make_room(name, evict)  # in case that it takes more than was thought
        except ModelUnavailable:
            await resident.leave()
            raise
        return resident

    async def _make_room(self, name: str, evict: bool) -> None:
        """Sends away models that nobody uses, until this one fits beside the others.

        Raises ModelUnavailable, with `retry_after` where it is the others' fault.
        """
        budget, size = self._budget or 0, self._sizes[name]
        if size > budget:
            raise ModelUnavailable(
                f"model '{name}' takes {size / 1e6:.0f} MB, and the server's memory budget is "
                f"{budget / 1e6:.0f} MB"
            )
        full = ModelUnavailable(f"no memory for model '{name}' beside others", retry_after=_RETRY_AFTER)
        try:
            async with asyncio.timeout(self._patience):
                while size + sum(place.resident.memory_bytes for place in self._places.values()) > budget:
                    if not evict:
                        raise full
                    await self._evict_one()
        except TimeoutError:
            raise full from None

    async def _evict_one(self) -> None:
        """The one of the idle models whose use is longest ago; waits until there is one.

        A model for which somebody still waits, as it has just been loaded, is not idle: two that are wanted
        at once would send each other away for ever.
        """
        while not (idle := [name for name, place in self._places.items() if not self._wanted(name, place)]):
            self._idle.clear()
            await self._idle.wait()
        place = self._places.pop(idle[0])
        _LOG.info("model '%s' makes room", idle[0])
        await place.resident.leave()

    def _wanted(self, name: str, place: _Place[R]) -> bool:
        return place.users > 0 or self._awaited[name] > 0
