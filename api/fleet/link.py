"""One place that infers, as the service sees it: whether it is ready, and pictures on their way to it."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from api import problems
from api.breaker import Breaker
from api.errors import ModelUnavailable, ObjectCutError
from api.types import Deadline
from postprocess.types import RGB, Alpha

__all__ = ["Link", "NotServed", "WorkerGone", "WorkersUnavailable"]

_LOG = logging.getLogger(__name__)

_KINDS = {kind.code: kind for kind in problems.kinds()}
_ELSEWHERE = frozenset({"draining", "model_unavailable"})
"""What one worker says of itself alone."""
_PASSED_ON = frozenset(
    {"invalid_options", "overloaded", "inference_failed", "out_of_memory", "deadline_exceeded"}
)


class WorkersUnavailable(ModelUnavailable):
    """No worker answers: this is not the model's fault."""

    title = "No worker can be reached at the moment: please try again."


class WorkerGone(Exception):
    """The connection broke, or the worker says that it cannot serve: another one may.

    error: what the request is told when none does. lost: whether the worker had the picture, and vanished.
    """

    def __init__(self, error: ObjectCutError, *, lost: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.lost = lost


class NotServed(Exception):
    """A model would not be served there now; the text says why."""


class Link(ABC):
    """A worker, or a place with several workers behind it, of which each picture meets another one.

    url: what it is called. poll_interval: seconds between two looks. moment: seconds that a place with
    several workers needs to see that one of them is gone. in_flight: pictures that it was chosen for.
    draining: it said so when it was last looked at.
    """

    moment = 0.1

    def __init__(self, url: str, poll_interval: float) -> None:
        self.url = url
        self.in_flight = 0
        self.draining = False
        self._breakers: dict[str, Breaker] = {}
        self._poll_interval = poll_interval
        self._closing = asyncio.Event()
        self._facts: dict[str, dict[str, Any]] = {}
        self._reasons: dict[str, str] = {}

    @abstractmethod
    async def matte(self, picture: RGB, model: str, deadline: Deadline, *, alone: bool = False) -> Alpha:
        """The picture's alpha, of the picture's size. alone: it is to share no batch.

        Raises WorkerGone; DeadlineExceeded; ObjectCutError, as the worker says.
        """

    @abstractmethod
    async def close(self) -> None:
        """Lets go of connections."""

    @abstractmethod
    async def _ask(self, model: str, size: tuple[int, int]) -> dict[str, Any] | None:
        """The facts of a model that would be served now; None: as before. size: (height, width), its own.

        Raises NotServed.
        """

    def stop_watching(self) -> None:
        """Lets `watch` end after the look that it is at: a connection cut short would be left open."""
        self._closing.set()

    def facts(self, model: str) -> dict[str, Any] | None:
        """What was said of the model; None when it would not be served."""
        return self._facts.get(model)

    def breaker(self, model: str) -> Breaker:
        """Open while pictures for that model are not answered: behind a proxy others are another pool's."""
        return self._breakers.setdefault(model, Breaker(WorkersUnavailable))

    @property
    def broken(self) -> bool:
        """Whether any of them is open."""
        return any(breaker.open for breaker in self._breakers.values())

    def reason(self, model: str) -> str:
        """Why it would not."""
        return self._reasons.get(model, "not asked yet")

    async def watch(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Looks again and again until `stop_watching`. sizes: (height, width) by model."""
        while not self._closing.is_set():
            await self.look(sizes)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_interval):
                    await self._closing.wait()

    async def look(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Asks whether each model would be served now, all at once."""
        await asyncio.gather(*(self._look_at(model, size) for model, size in sizes.items()))

    @contextmanager
    def place(self) -> Iterator[None]:
        """Counts one picture as being this worker's."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def _look_at(self, model: str, size: tuple[int, int]) -> None:
        try:
            facts = await self._ask(model, size)
        except NotServed as exc:
            self._fails(model, str(exc))
        else:
            if facts is not None:
                self._facts[model] = facts
                self._reasons.pop(model, None)

    def _fails(self, model: str, reason: str) -> None:
        """The second time in a row it is believed: behind a proxy the first may be about one of several."""
        if model in self._reasons:
            self._facts.pop(model, None)
        if self._reasons.get(model) != reason:
            _LOG.warning("worker %s, model '%s': %s", self.url, model, reason)
        self._reasons[model] = reason

    def _failure(
        self, model: str, problem: Mapping[str, Any], detail: str, retry_after: float | None = None
    ) -> WorkerGone | ObjectCutError:
        """What a problem in the place of an alpha means for the request. detail: for the logs."""
        code = problem.get("code", "")
        if code not in _ELSEWHERE | _PASSED_ON:  # of a proxy in between, or a disagreement with the worker
            self.breaker(model).failed()
            return WorkerGone(WorkersUnavailable(detail))
        self.breaker(model).succeeded()
        error = _KINDS[code](detail, public=problem.get("detail"), retry_after=retry_after)
        return WorkerGone(error) if code in _ELSEWHERE else error
