"""One worker as the service sees it: its URL, whether it is ready, and pictures on their way to it."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import httpx

from api import problems
from api.breaker import Breaker
from api.errors import Draining, ModelUnavailable, ObjectCutError
from api.fleet.config import WorkersConfig
from api.logs import REQUEST_ID
from api.types import Deadline
from model import frame
from model.errors import DeadlineExceeded
from postprocess.types import RGB, Alpha

__all__ = ["Link", "WorkerGone", "WorkersUnavailable"]

_LOG = logging.getLogger(__name__)

KEPT_SECONDS = 20.0
"""For which an idle connection is kept: less than workers keep theirs, so that none is written to in vain."""
_LOOK_SECONDS = 1.0
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


class Link:
    """A worker's URL, or that of a proxy with workers behind it.

    in_flight: pictures that it was chosen for. draining: it said so when it was last looked at.
    breaker: open while pictures are not answered at all. outgoing: headers that go with each picture.
    """

    def __init__(
        self,
        url: str,
        token: str,
        config: WorkersConfig,
        *,
        outgoing: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self.url = url
        self.in_flight = 0
        self.draining = False
        self.breaker = Breaker(WorkersUnavailable)
        self._config = config
        self._outgoing = outgoing
        self._closing = asyncio.Event()
        self._places = asyncio.Semaphore(config.connections)
        self._facts: dict[str, dict[str, Any]] = {}
        self._reasons: dict[str, str] = {}
        socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._http = httpx.AsyncClient(
            base_url="http://worker" if socket else url,
            transport=httpx.AsyncHTTPTransport(
                uds=socket,
                trust_env=False,
                limits=httpx.Limits(max_connections=None, keepalive_expiry=KEPT_SECONDS),
            ),
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )

    def stop_watching(self) -> None:
        """Lets `watch` end after the look that it is at: a connection cut short would be left open."""
        self._closing.set()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    def facts(self, model: str) -> dict[str, Any] | None:
        """What the worker said of the model; None when it would not serve it."""
        return self._facts.get(model)

    def reason(self, model: str) -> str:
        """Why it would not."""
        return self._reasons.get(model, "not asked yet")

    async def watch(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Looks again and again until `stop_watching`. sizes: (height, width) by model."""
        while not self._closing.is_set():
            await self.look(sizes)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.poll_interval):
                    await self._closing.wait()

    async def look(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Asks whether each model would be served now, all at once."""
        await asyncio.gather(*(self._ask(model, size) for model, size in sizes.items()))

    async def _ask(self, model: str, size: tuple[int, int]) -> None:
        try:
            async with asyncio.timeout(self._config.connect_timeout + _LOOK_SECONDS):
                answer = await self._http.get(_path(model, size), timeout=None)
            if answer.status_code == httpx.codes.OK:
                self._serves(model, answer.json())
                return
            problem = _problem(answer)
            self.draining = problem.get("code") == Draining.code
            if self.draining:  # it still serves: there is no hurry, and behind a proxy it is one of several
                return
            reason = problem.get("detail") or problem.get("title") or f"status {answer.status_code}"
        except (httpx.RequestError, TimeoutError, ValueError) as exc:
            reason = f"does not answer: {type(exc).__name__}"
        self._fails(model, reason)

    def _serves(self, model: str, facts: dict[str, Any]) -> None:
        self.draining = False
        self._facts[model] = facts
        self._reasons.pop(model, None)

    def _fails(self, model: str, reason: str) -> None:
        """The second time in a row it is believed: behind a proxy the first may be about one of several."""
        if model in self._reasons:
            self._facts.pop(model, None)
        if self._reasons.get(model) != reason:
            _LOG.warning("worker %s, model '%s': %s", self.url, model, reason)
        self._reasons[model] = reason

    @contextmanager
    def place(self) -> Iterator[None]:
        """Counts one picture as being this worker's."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def matte(self, picture: RGB, model: str, deadline: Deadline, *, alone: bool = False) -> Alpha:
        """The picture's alpha, of the picture's size. alone: it is to share no batch.

        Raises WorkerGone; DeadlineExceeded; ObjectCutError, as the worker says.
        """
        size = picture.shape[0], picture.shape[1]
        try:
            async with asyncio.timeout(deadline.remaining()), self._places:
                answer = await self._send(picture, _path(model, size), deadline, alone)
                if answer.status_code == httpx.codes.OK:
                    alpha = await asyncio.to_thread(frame.unpack_alpha, answer.content, size)
                    self.breaker.succeeded()
                    return alpha
        except TimeoutError:
            raise DeadlineExceeded("no time left before a worker's answer") from None
        except frame.FrameError as exc:
            self.breaker.failed()
            raise WorkerGone(WorkersUnavailable(f"{self.url}: {exc}")) from exc
        raise self._failure(answer)

    async def _send(self, picture: RGB, path: str, deadline: Deadline, alone: bool) -> httpx.Response:
        request_id = REQUEST_ID.get(None)
        try:
            return await self._http.post(
                path,
                content=frame.pack_picture(picture, deadline.remaining(), alone=alone),
                headers={**self._outgoing(), **({"X-Request-Id": request_id} if request_id else {})},
                timeout=httpx.Timeout(self._config.read_timeout, connect=self._config.connect_timeout),
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout) as exc:
            # It may be at work on it still: asking another one too would only double the load.
            self.breaker.failed()
            raise WorkersUnavailable(f"{self.url}: {type(exc).__name__}") from exc
        except httpx.RequestError as exc:
            self.breaker.failed()
            lost = isinstance(exc, httpx.NetworkError | httpx.RemoteProtocolError)
            lost &= not isinstance(exc, httpx.ConnectError)
            error = WorkersUnavailable(f"{self.url}: {type(exc).__name__}: {exc}")
            raise WorkerGone(error, lost=lost) from exc

    def _failure(self, answer: httpx.Response) -> Exception:
        """What an answer that is no alpha means for the request."""
        problem = _problem(answer)
        code = problem.get("code", "")
        detail = f"{self.url}: {answer.status_code} {code}".rstrip()
        if code not in _ELSEWHERE | _PASSED_ON:  # of a proxy in between, or a disagreement with the worker
            self.breaker.failed()
            return WorkerGone(WorkersUnavailable(detail))
        self.breaker.succeeded()
        error = _KINDS[code](
            detail, public=problem.get("detail"), retry_after=_seconds(answer.headers.get("retry-after"))
        )
        return WorkerGone(error) if code in _ELSEWHERE else error


def _path(model: str, size: tuple[int, int]) -> str:
    return f"/v1/mattes/{model}/{size[1]}x{size[0]}"


def _problem(answer: httpx.Response) -> dict[str, Any]:
    with suppress(ValueError):
        problem = json.loads(answer.content)
        if isinstance(problem, dict):
            return problem
    return {}


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdecimal() else None
