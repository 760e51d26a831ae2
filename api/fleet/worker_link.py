"""A worker behind a URL."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import httpx

from api.errors import Draining
from api.fleet.config import WorkersConfig
from api.fleet.link import Link, NotServed, WorkerGone, WorkersUnavailable
from api.logs import REQUEST_ID
from api.types import Deadline
from model import frame
from model.errors import DeadlineExceeded
from postprocess.types import RGB, Alpha

__all__ = ["WorkerLink"]

KEPT_SECONDS = 20.0
"""For which an idle connection is kept: less than workers keep theirs, so that none is written to in vain."""
_LOOK_SECONDS = 1.0


class WorkerLink(Link):
    """A worker's URL, or that of a proxy with workers behind it.

    token: what it asks for. outgoing: headers that go with each picture.
    """

    def __init__(
        self,
        url: str,
        token: str,
        config: WorkersConfig,
        *,
        outgoing: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        super().__init__(url, config.poll_interval)
        self._config = config
        self._outgoing = outgoing
        self._places = asyncio.Semaphore(config.connections)
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

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _ask(self, model: str, size: tuple[int, int]) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(self._config.connect_timeout + _LOOK_SECONDS):
                answer = await self._http.get(_path(model, size), timeout=None)
            if answer.status_code == httpx.codes.OK:
                facts: dict[str, Any] = answer.json()
                self.draining = False
                return facts
        except (httpx.RequestError, TimeoutError, ValueError) as exc:
            raise NotServed(f"does not answer: {type(exc).__name__}") from exc
        problem = _problem(answer)
        self.draining = problem.get("code") == Draining.code
        if self.draining:  # it still serves: there is no hurry, and behind a proxy it is one of several
            return None
        raise NotServed(problem.get("detail") or problem.get("title") or f"status {answer.status_code}")

    async def matte(self, picture: RGB, model: str, deadline: Deadline, *, alone: bool = False) -> Alpha:
        """See Link."""
        size = picture.shape[0], picture.shape[1]
        try:
            async with asyncio.timeout(deadline.remaining()), self._places:
                answer = await self._send(picture, model, deadline, alone)
                if answer.status_code == httpx.codes.OK:
                    alpha = await asyncio.to_thread(frame.unpack_alpha, answer.content, size)
                    self.breaker(model).succeeded()
                    return alpha
        except TimeoutError:
            raise DeadlineExceeded("no time left before a worker's answer") from None
        except frame.FrameError as exc:
            self.breaker(model).failed()
            raise WorkerGone(WorkersUnavailable(f"{self.url}: {exc}")) from exc
        problem = _problem(answer)
        detail = f"{self.url}: {answer.status_code} {problem.get('code', '')}".rstrip()
        raise self._failure(model, problem, detail, _seconds(answer.headers.get("retry-after")))

    async def _send(self, picture: RGB, model: str, deadline: Deadline, alone: bool) -> httpx.Response:
        request_id = REQUEST_ID.get(None)
        try:
            return await self._http.post(
                _path(model, (picture.shape[0], picture.shape[1])),
                content=frame.pack_picture(picture, deadline.remaining(), alone=alone),
                headers={**self._outgoing(), **({"X-Request-Id": request_id} if request_id else {})},
                timeout=httpx.Timeout(self._config.read_timeout, connect=self._config.connect_timeout),
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout) as exc:
            # It may be at work on it still: asking another one too would only double the load.
            self.breaker(model).failed()
            raise WorkersUnavailable(f"{self.url}: {type(exc).__name__}") from exc
        except httpx.RequestError as exc:
            self.breaker(model).failed()
            lost = isinstance(exc, httpx.NetworkError | httpx.RemoteProtocolError)
            lost &= not isinstance(exc, httpx.ConnectError)
            error = WorkersUnavailable(f"{self.url}: {type(exc).__name__}: {exc}")
            raise WorkerGone(error, lost=lost) from exc


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
