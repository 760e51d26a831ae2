"""The two clients. Their methods are the same; what these do stands once, in calls.py."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx

from objectcut_client.calls import Calls, Progress
from objectcut_client.errors import ConnectionFailed, TimedOut
from objectcut_client.retries import Deadline, Retries
from objectcut_client.types import Account, Cutout, CutoutFile, Image, Job, Model, Options
from objectcut_client.wire import Answer, Flow, Listen, Outcome, Pause, Read, Send, advance

T = TypeVar("T")
DAY = 86_400.0


class _Client:
    """What both are made of."""

    def __init__(self, key: str | None, timeout: float, retries: Retries, clock: Callable[[], float]) -> None:
        self._calls = Calls(timeout, retries, clock)
        self._headers = {"X-Api-Key": key} if key else {}

    def _arguments(self, command: Send | Listen) -> dict[str, Any]:
        left = max(command.deadline.remaining(), 0.001)
        timeout = min(left, command.silence) if isinstance(command, Listen) else left
        arguments = command.call.arguments(self._headers)
        return {"method": command.call.method, "url": command.call.url, "timeout": timeout} | arguments


class ObjectCut(_Client):
    """A client that blocks. Use it as a context manager, or close it; threads may share it.

    base_url: of the service. key: its key, if it wants one. timeout: seconds for each method, with all its
    retries. transport, clock, sleep: for tests. Methods raise ObjectCutError, and OSError for a file that
    cannot be read.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(key, timeout, retries or Retries(), clock)
        self._http = httpx.Client(base_url=base_url, transport=transport)
        self._sleep = sleep

    def cut(
        self, image: Image, *, background_image: Image | None = None, **options: Unpack[Options]
    ) -> Cutout:
        """Cuts a picture's subject out; the service stores the result and gives a link to it."""
        return self._run(self._calls.cut(image, background_image, options))

    def cut_bytes(
        self, image: Image, *, background_image: Image | None = None, **options: Unpack[Options]
    ) -> CutoutFile:
        """Cuts a picture's subject out; nothing is stored."""
        return self._run(self._calls.cut_bytes(image, background_image, options))

    def find(self, id: str) -> Cutout:
        """The facts of a stored cutout, with a fresh link."""
        return self._run(self._calls.find(id))

    def download(self, cutout: Cutout | str) -> bytes:
        """The bytes behind a cutout's link. The key is not sent along."""
        return self._run(self._calls.download(cutout))

    def delete(self, id: str) -> None:
        """Removes a stored cutout; its links end."""
        self._run(self._calls.delete(id))

    def models(self) -> list[Model]:
        """The networks that there are."""
        return self._run(self._calls.models())

    def account(self) -> Account:
        """What the key may still take."""
        return self._run(self._calls.account())

    def create_job(
        self,
        images: Image | Sequence[str],
        *,
        background_image: Image | None = None,
        webhook_url: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """Hands in one picture, or a list of URLs, to be worked on while nobody waits."""
        return self._run(self._calls.create_job(images, background_image, webhook_url, options))

    def job(self, id: str) -> Job:
        """How a job stands."""
        return self._run(self._calls.job(id))

    def wait(self, id: str, *, timeout: float = DAY, on_progress: Progress | None = None) -> Job:
        """The job when it has finished. timeout: seconds. on_progress: told of each item."""
        return self._run(self._calls.wait(id, timeout, on_progress))

    def results(self, id: str) -> Job:
        """A finished job with its cutouts. Raises Conflict while it runs."""
        return self._run(self._calls.results(id))

    def results_zip(self, id: str) -> bytes:
        """The cutouts of a finished job as a ZIP with its manifest."""
        return self._run(self._calls.results_zip(id))

    def delete_job(self, id: str) -> None:
        """Cancels what has not begun, and removes the job's results.

        Not repeated when the answer is lost (ConnectionFailed, 502, 504): the first request cancels a job
        that runs, but a second one removes its record.
        """
        self._run(self._calls.delete_job(id))

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        outcome = Outcome()
        while True:
            try:
                command = advance(flow, outcome)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome = Outcome()
            match command:
                case Read():
                    outcome.result = command.bytes()
                case Pause():
                    self._sleep(command.seconds)
                case _:
                    with _connecting(outcome):
                        outcome.result = self._answer(command)

    def _answer(self, command: Send | Listen) -> Answer:
        with self._http.stream(**self._arguments(command)) as response:
            if isinstance(command, Listen) and response.status_code == 200:
                for part in response.iter_bytes():
                    if command.on_part(part) or _late(command.deadline):
                        break
                return Answer(200, response.headers)
            parts = []
            for part in response.iter_bytes():
                parts.append(part)
                if _late(command.deadline):
                    raise TimedOut("the answer did not arrive in time")
            return Answer(response.status_code, response.headers, b"".join(parts))


class AsyncObjectCut(_Client):
    """The same to be awaited; see ObjectCut."""

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        timeout: float = 60.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        super().__init__(key, timeout, retries or Retries(), clock)
        self._http = httpx.AsyncClient(base_url=base_url, transport=transport)
        self._sleep = sleep

    async def cut(
        self, image: Image, *, background_image: Image | None = None, **options: Unpack[Options]
    ) -> Cutout:
        """As ObjectCut.cut."""
        return await self._run(self._calls.cut(image, background_image, options))

    async def cut_bytes(
        self, image: Image, *, background_image: Image | None = None, **options: Unpack[Options]
    ) -> CutoutFile:
        """As ObjectCut.cut_bytes."""
        return await self._run(self._calls.cut_bytes(image, background_image, options))

    async def find(self, id: str) -> Cutout:
        """As ObjectCut.find."""
        return await self._run(self._calls.find(id))

    async def download(self, cutout: Cutout | str) -> bytes:
        """As ObjectCut.download."""
        return await self._run(self._calls.download(cutout))

    async def delete(self, id: str) -> None:
        """As ObjectCut.delete."""
        await self._run(self._calls.delete(id))

    async def models(self) -> list[Model]:
        """As ObjectCut.models."""
        return await self._run(self._calls.models())

    async def account(self) -> Account:
        """As ObjectCut.account."""
        return await self._run(self._calls.account())

    async def create_job(
        self,
        images: Image | Sequence[str],
        *,
        background_image: Image | None = None,
        webhook_url: str | None = None,
        **options: Unpack[Options],
    ) -> Job:
        """As ObjectCut.create_job."""
        return await self._run(self._calls.create_job(images, background_image, webhook_url, options))

    async def job(self, id: str) -> Job:
        """As ObjectCut.job."""
        return await self._run(self._calls.job(id))

    async def wait(self, id: str, *, timeout: float = DAY, on_progress: Progress | None = None) -> Job:  # noqa: ASYNC109
        """As ObjectCut.wait. on_progress is called, not awaited."""
        return await self._run(self._calls.wait(id, timeout, on_progress))

    async def results(self, id: str) -> Job:
        """As ObjectCut.results."""
        return await self._run(self._calls.results(id))

    async def results_zip(self, id: str) -> bytes:
        """As ObjectCut.results_zip."""
        return await self._run(self._calls.results_zip(id))

    async def delete_job(self, id: str) -> None:
        """As ObjectCut.delete_job."""
        await self._run(self._calls.delete_job(id))

    async def close(self) -> None:
        """As ObjectCut.close."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        outcome = Outcome()
        while True:
            try:
                command = advance(flow, outcome)
            except StopIteration as end:
                value: T = end.value
                return value
            outcome = Outcome()
            match command:
                case Read():
                    outcome.result = await asyncio.to_thread(command.bytes)
                case Pause():
                    await self._sleep(command.seconds)
                case _:
                    with _connecting(outcome):
                        outcome.result = await self._answer(command)

    async def _answer(self, command: Send | Listen) -> Answer:
        async with self._http.stream(**self._arguments(command)) as response:
            if isinstance(command, Listen) and response.status_code == 200:
                async for part in response.aiter_bytes():
                    if command.on_part(part) or _late(command.deadline):
                        break
                return Answer(200, response.headers)
            parts = []
            async for part in response.aiter_bytes():
                parts.append(part)
                if _late(command.deadline):
                    raise TimedOut("the answer did not arrive in time")
            return Answer(response.status_code, response.headers, b"".join(parts))


@contextmanager
def _connecting(outcome: Outcome) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as exc:
        outcome.error = ConnectionFailed(f"{type(exc).__name__}: {exc}")


def _late(deadline: Deadline) -> bool:
    return deadline.remaining() <= 0
