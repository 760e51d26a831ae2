"""The engine of a service that infers elsewhere: pictures are made small here, and go to workers."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from api import catalogue
from api.fleet.link import Link, WorkerGone, WorkersUnavailable
from api.priority import after_the_loop
from api.types import Deadline
from model.config import EngineConfig
from model.errors import DeadlineExceeded, InferenceFailed
from model.registry import REGISTRY, ModelSpec
from model.resample import resampled
from postprocess.types import RGB, Alpha

__all__ = ["RemoteEngine", "Workforce"]


class Workforce(Protocol):
    """Processes that an engine starts with itself, and ends."""

    async def start(self) -> None:
        """Starts them; they become ready in their own time."""
        ...

    async def close(self) -> None:
        """Lets them finish what they have, and ends them."""
        ...


class RemoteEngine:
    """api.types.Engine over workers.

    config: `models` are those that requests may name, `cores` how many pictures are made small at once.
    links: the workers. workforce: what runs them, when they are this service's own.
    Raises ValueError when the configuration names a model that does not exist.
    """

    def __init__(
        self,
        config: EngineConfig,
        links: Sequence[Link],
        *,
        workforce: Workforce | None = None,
        registry: Mapping[str, ModelSpec] = REGISTRY,
    ) -> None:
        catalogue.check_names(config.models, registry)
        self._config = config
        self._registry = registry
        self._workforce = workforce
        self._links = links
        self._sizes = {name: registry[name].size for name in config.models}
        self._watching: list[asyncio.Task[None]] = []
        self._threads = ThreadPoolExecutor(config.cores, "resize", after_the_loop)

    async def start(self) -> None:
        """Does not wait for the workers: `status` tells when they are there."""
        if self._workforce:
            await self._workforce.start()
        await asyncio.gather(*(link.look(self._sizes) for link in self._links))
        self._watching = [asyncio.create_task(link.watch(self._sizes)) for link in self._links]

    async def close(self) -> None:
        """Ends the connections; what was accepted has been answered by then, or is not wanted any more."""
        for link in self._links:
            link.stop_watching()
        await asyncio.gather(*self._watching)
        await asyncio.gather(*(link.close() for link in self._links))
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._workforce:
            await self._workforce.close()

    @property
    def waiting(self) -> int:
        """Pictures that are with the workers."""
        return sum(link.in_flight for link in self._links)

    def status(self) -> dict[str, Any]:
        """As LocalEngine's, and `workers`: of each its URL, its pictures, its breaker, and what it serves.

        Ready as soon as one model is served: a pool that is down takes no other pool's models with it.
        """
        models = {name: self._facts(name) for name in self._config.models}
        workers = [
            {
                "url": link.url,
                "in_flight": link.in_flight,
                "breaker": "open" if link.broken else "closed",
                "models": {
                    name: link.reason(name) if link.facts(name) is None else "ready" for name in models
                },
            }
            for link in self._links
        ]
        ready = any(link.facts(name) is not None for link in self._links for name in models)
        return {"ready": ready, "models": models, "workers": workers}

    def models(self) -> list[dict[str, Any]]:
        """See api.types.Engine."""
        return catalogue.described(self._registry, self._available)

    async def matte(
        self, rgb: RGB, *, model: str, resolution: int | None = None, deadline: Deadline
    ) -> Alpha:
        """See api.types.Engine.

        A picture whose worker is gone is sent once more, to another one where there is one, and is inferred
        alone there: others of its batch were lost with it for nothing. If that worker is lost, too, it is the
        picture: InferenceFailed, and nobody is asked a third time.
        """
        spec = catalogue.offered(model, self._config.models, self._registry)
        size = catalogue.input_size(spec, resolution)
        deadline.check("resizing")
        first = self._choose(model)  # before any work is spent on a picture that nobody would take
        with first.place():
            picture = await self._shrunk(rgb, size, deadline)
            try:
                return await first.matte(picture, model, deadline)
            except WorkerGone as exc:
                gone = exc
        deadline.check("a second worker")
        try:
            second = self._choose(model, first)
        except WorkersUnavailable:
            raise gone.error from gone
        with second.place():
            if second is first:  # a proxy: it takes a moment to see which of its connections are gone, too
                await asyncio.sleep(min(second.moment, deadline.remaining()))
            try:
                return await second.matte(picture, model, deadline, alone=True)
            except WorkerGone as exc:
                if gone.lost and exc.lost:
                    raise InferenceFailed(f"two workers were lost with it: {gone}; {exc}") from exc
                raise exc.error from exc

    def _choose(self, model: str, tried: Link | None = None) -> Link:
        """The worker with the least to do, rather another one than `tried`. Raises WorkersUnavailable."""
        serving = [link for link in self._links if link.facts(model) is not None]
        refused = WorkersUnavailable(f"no worker serves '{model}': {self._reasons(model)}", retry_after=2.0)
        for link in sorted(serving, key=lambda link: (link is tried, link.draining, link.in_flight)):
            try:
                link.breaker(model).check()
            except WorkersUnavailable as exc:
                refused = exc
            else:
                return link
        raise refused

    async def _shrunk(self, rgb: RGB, size: tuple[int, int], deadline: Deadline) -> RGB:
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await asyncio.get_running_loop().run_in_executor(self._threads, resampled, rgb, size)
        except TimeoutError:
            raise DeadlineExceeded("no time left while resizing") from None

    def _available(self, name: str) -> bool:
        return any(link.facts(name) is not None for link in self._links)

    def _facts(self, name: str) -> dict[str, Any]:
        """Of the first worker that serves it, one with the model in memory before the others."""
        known = [facts for link in self._links if (facts := link.facts(name)) is not None]
        if known:
            return min(known, key=lambda facts: not facts.get("resident"))
        return {"resident": False, "warm": False, "reason": self._reasons(name)}

    def _reasons(self, name: str) -> str:
        reasons = {link.reason(name) for link in self._links if link.facts(name) is None}
        return "; ".join(sorted(reasons)) or "every worker is asked already"
