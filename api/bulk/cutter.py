"""One worker's part: pictures from the source, through the service's own pipeline, to the target."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from api.app import open_pipeline
from api.bulk.manifest import DONE, FAILED
from api.bulk.places import Place
from api.bulk.recipe import Recipe, content_key
from api.commands.cut import Remover
from api.commands.terminal import told
from api.engine import LocalEngine
from api.errors import (
    CorruptImage,
    DeadlineExceeded,
    ImageTooLarge,
    InvalidOptions,
    ModelUnavailable,
    NoSubject,
    PayloadTooLarge,
    SourceUnreachable,
    UnsupportedImage,
    as_error,
)
from api.pipeline import Job
from api.settings import Settings
from api.storage.local import store_error
from api.types import Deadline, Engine

__all__ = ["Cutter", "Order", "Results", "of_worker", "open_cutter"]

PATIENCE = 600.0

_AHEAD = 8
"""Pictures beyond those that are decoded at once: they are being read or written."""

_MOST_QUEUED = 4096
"""Pictures that may wait for the network: more than a worker ever works on at once."""

_SETTLED = (
    CorruptImage,
    ImageTooLarge,
    InvalidOptions,
    NoSubject,
    PayloadTooLarge,
    UnsupportedImage,
)
"""What the same bytes would meet again; everything else may pass."""

T = TypeVar("T")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What every worker is told. settings: see of_worker."""

    source: Place
    target: Place
    recipe: Recipe
    settings: Settings


def of_worker(settings: Settings, cpus: int) -> Settings:
    """Of all settings those that make a worker of so many CPUs what it is; secrets stay here."""
    engine = settings.engine.model_copy(
        update={
            "cores": cpus,
            "max_queue": _MOST_QUEUED,
            "model_dir": settings.engine.model_dir.absolute(),  # workers run in folders of their own
        }
    )
    return Settings.model_construct(
        decode=settings.decode,
        isolation=settings.isolation,
        engine=engine,
        pictures=settings.pictures,
        cpu_jobs=cpus,
    )


class Results(Protocol):
    """Which results there are, by their keys. It may forget; then a picture is cut again."""

    async def find(self, key: str, /) -> str | None: ...

    def add(self, key: str, output: str, /) -> None: ...


class Cutter:
    """Cuts pictures, many at once; one's failure is never its neighbours'.

    patience: seconds that one picture may take, from the first byte read to the last one written.
    """

    def __init__(
        self, order: Order, pipeline: Remover, results: Results, *, patience: float = PATIENCE
    ) -> None:
        self._patience = patience
        self._order, self._pipeline, self._results = order, pipeline, results
        self._digest = order.recipe.digest
        self._most = order.settings.decode.max_bytes
        at_once = order.settings.pictures_at_once() + _AHEAD
        self._places = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="bulk")

    def close(self) -> None:
        """Lets go of its threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def cut(self, pictures: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Takes rows of plan.WORK; gives, in their order, rows of manifest.SCHEMA and `row`."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(picture)) for picture in pictures]
        return [task.result() for task in tasks]

    async def _one(self, picture: Mapping[str, Any]) -> Row:
        row: Row = {name: picture[name] for name in ("row", "name", "size", "mtime_ns")}
        row |= {"recipe": self._digest, "status": FAILED, "settled": False}
        async with self._places:
            started = time.perf_counter()
            try:
                row["output"] = await self._result(picture, row, Deadline.after(self._patience))
                row |= {"status": DONE, "settled": True}
            except Exception as exc:
                error = as_error(exc)
                settled = isinstance(error, _SETTLED)
                row |= {"code": error.code, "detail": told(error), "settled": settled}
            row |= {"seconds": time.perf_counter() - started, "finished_at": datetime.now(UTC)}
        return row

    async def _result(self, picture: Mapping[str, Any], row: Row, deadline: Deadline) -> str:
        """The result's name, once it is there. row: learns the digests, as soon as they are known."""
        data = await self._read(picture["name"], deadline)
        if len(data) > self._most:
            raise PayloadTooLarge(f"over {self._most} bytes")  # no digest: not all of it was read
        row["sha256"] = await self._in_thread(lambda: sha256(data).hexdigest(), deadline)
        key = row["key"] = content_key(self._digest, row["sha256"])
        if picture["known_key"] == key and picture["known_output"]:
            return str(picture["known_output"])
        stem = picture["name"].rpartition(".")[0]
        if twin := await self._results.find(key):
            output = f"{stem}.{twin.rpartition('.')[2]}"
            try:
                if output != twin:
                    await self._in_thread(partial(self._order.target.copy, twin, output), deadline)
                return output
            except OSError:  # it is gone, or was never finished: this one is cut like any other
                pass
        output = await self._cut(data, stem, deadline)
        self._results.add(key, output)
        return output

    async def _read(self, name: str, deadline: Deadline) -> bytes:
        try:
            return await self._in_thread(partial(self._order.source.read, name, self._most), deadline)
        except OSError as exc:
            raise SourceUnreachable(f"{type(exc).__name__}: {exc}") from exc

    async def _cut(self, data: bytes, stem: str, deadline: Deadline) -> str:
        recipe = self._order.recipe
        job = Job(data, recipe.options, background_image=recipe.background)
        encoded = (await self._pipeline.remove_background(job, deadline)).encoded
        output = f"{stem}.{encoded.extension}"
        write = partial(self._order.target.write, output, encoded.body, encoded.media_type)
        try:
            await self._in_thread(write, deadline)
        except OSError as exc:
            raise store_error(exc, "writing") from exc
        return output

    async def _in_thread(self, call: Callable[[], T], deadline: Deadline) -> T:
        try:
            async with asyncio.timeout(deadline.remaining()) as limit:
                return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except TimeoutError as exc:
            if not limit.expired():
                raise
            raise DeadlineExceeded("no time left to read or write") from exc


@asynccontextmanager
async def open_cutter(
    order: Order,
    results: Results,
    *,
    on_lost: Callable[[str], None] | None = None,
    engine: Engine | None = None,
) -> AsyncIterator[Cutter]:
    """A cutter with a pipeline of its own.

    on_lost: called when the device is lost for good: the process should be replaced. engine: in place of the
    one that the settings describe. Raises ModelUnavailable when the model here is not the recipe's.
    """
    engine = engine or LocalEngine(order.settings.engine, on_lost=on_lost)
    async with open_pipeline(order.settings, engine=engine) as pipeline:
        facts = engine.status()["models"][order.recipe.options.model]
        if facts.get("reason"):
            raise ModelUnavailable(public=facts["reason"])
        if facts["sha256"] != order.recipe.model_sha256:
            raise ModelUnavailable(public="the model's weights on this machine are not those of the others")
        cutter = Cutter(order, pipeline, results)
        try:
            yield cutter
        finally:
            cutter.close()
