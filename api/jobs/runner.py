"""Works on the pictures of jobs with what requests leave idle."""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from api.accounts import Accounts
from api.errors import AccountsUnavailable, NotFound, ObjectCutError, forget_frames
from api.finishing import Canvas, Compose, compose
from api.jobs.changes import Changes
from api.jobs.config import JobsConfig
from api.jobs.insistence import claimed, insist
from api.jobs.ledger import JobLedger
from api.jobs.records import Task
from api.logs import REQUEST_ID
from api.options import CutoutOptions
from api.pipeline import Job, Outcome, Pipeline
from api.problems import as_problem, body
from api.routes.bodies import Cutout
from api.types import Deadline, Picture, Store
from postprocess.types import Alpha

logger = logging.getLogger("objectcut.jobs")

_PASSING = frozenset({429, 503, 504})
_BUSY = 429
_LONGEST_PAUSE = 60.0
_STORE_SECONDS = 30.0


class Tools(NamedTuple):
    """What a runner works with. observe: is told the fate of each picture."""

    ledger: JobLedger
    pipeline: Pipeline
    store: Store
    accounts: Accounts
    changes: Changes
    observe: Callable[[str], None]


class Runner:
    """Takes on one picture after the other. finished: is called when a job may have ended.

    clock: seconds since 1970.
    """

    def __init__(
        self,
        tools: Tools,
        config: JobsConfig,
        *,
        finished: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tools, self._config, self._finished, self._clock = tools, config, finished, clock
        self._running: dict[asyncio.Task[None], Task] = {}
        self._begun: set[tuple[int, int]] = set()
        self._ending: set[tuple[int, int]] = set()

    async def take(self) -> Task | None:
        """The next picture, with a place of the pipeline; None when there is none after all."""
        task = await claimed(self._next, lambda: self._tools.ledger.disown(self._begun))
        if task:
            self._begun.add(task.place)
            self._tools.changes.notify(task.id)
        return task

    async def work(self, task: Task) -> None:
        """One try of one picture; gives its place back."""
        REQUEST_ID.set(task.request_id)
        own = asyncio.create_task(self._attempt(task))
        self._running[own] = task
        try:
            await asyncio.wait({own})
        finally:
            own.cancel()
            await asyncio.gather(own, return_exceptions=True)
            del self._running[own]
            self._begun.discard(task.place)
            self._ending.discard(task.place)
            self._tools.pipeline.turns.release_spare()
            self._tools.changes.notify(task.id)
            self._finished()
        if not own.cancelled():
            own.result()

    def cancel(self, id: str) -> None:
        """Stops the work on a job that has been removed.

        From the last stages on a picture comes to its end, and finds that it is not wanted: of one that is
        cut short while it is stored the result would stay.
        """
        for running, task in self._running.items():
            if task.id == id and task.place not in self._ending:
                running.cancel()

    async def discard(self, key: str) -> None:
        """Removes a result that nobody wants any more; if that fails, it ends with its own life."""
        try:
            await self._tools.store.delete(key, deadline=Deadline.after(_STORE_SECONDS))
        except NotFound:
            pass
        except ObjectCutError as exc:
            logger.warning("result %s was not removed: %s", key, exc)

    async def _next(self) -> Task | None:
        turns, task = self._tools.pipeline.turns, None
        await turns.take_spare()
        try:
            task = await self._tools.ledger.claim()
        finally:
            if task is None:
                turns.release_spare()
        return task

    async def _attempt(self, task: Task) -> None:
        started = time.perf_counter()
        error: ObjectCutError | None = None
        try:
            fate = await self._cut(task)
        except asyncio.CancelledError:
            await self._tools.ledger.release(task)  # the process ends, or the job is no more
            raise
        except Exception as exc:
            error = as_problem(exc)
            if error.code == ObjectCutError.code:
                logger.exception("a picture of a job")
            forget_frames(exc)
            fate = await self._failed(task, error)
        self._tools.observe(fate)
        fields = {
            "job": task.id,
            "index": task.position,
            "status": fate,
            "attempt": task.attempts,
            "ms": round((time.perf_counter() - started) * 1000, 1),
        }
        if error:
            fields |= {"code": error.code, "detail": str(error)}
        logger.info("picture", extra={"fields": fields})

    async def _cut(self, task: Task) -> str:
        ledger, accounts = self._tools.ledger, self._tools.accounts
        caller = await accounts.recall(task.owner, task.plan, task.bucket)
        cost = caller.plan.credits_per_cutout
        await accounts.require(caller, cost)
        outcome = await self._tools.pipeline.remove_background(
            _job(task, self._composing(task)),
            Deadline.after(self._config.item_timeout),
            spend=partial(accounts.spend_pixels, caller),
            placed=True,
        )
        cutout = await self._stored(task, outcome)
        wanted = await insist(lambda: ledger.settle(task, cutout.model_dump_json()))
        if wanted:
            try:
                await accounts.charge(caller, cost)
            except AccountsUnavailable as exc:  # it may have been made: rather not at all than twice
                logger.error("%s/%s may not have been charged: %s", task.id, task.position, exc)
            except ObjectCutError:
                await self.discard(cutout.id)
                raise
            wanted = await insist(lambda: ledger.succeed(task))
        if not wanted:
            await self.discard(cutout.id)
        return "succeeded" if wanted else "cancelled"

    def _composing(self, task: Task) -> Compose:
        def composed(picture: Picture, matte: Alpha, behind: Picture | None, wish: CutoutOptions) -> Canvas:
            self._ending.add(task.place)
            return compose(picture, matte, behind, wish)

        return composed

    async def _stored(self, task: Task, outcome: Outcome) -> Cutout:
        """What is stored: of an attempt that was cut short, it may be the earlier one's."""
        if not (outcome.id and outcome.link):
            raise ObjectCutError("a job's result was not stored")
        encoded = outcome.encoded
        media_type, size, facts = encoded.media_type, len(encoded.body), outcome.facts
        if task.attempts > 1:
            found = await self._tools.store.find(outcome.id, deadline=Deadline.after(_STORE_SECONDS))
            media_type, size, facts = found.media_type, found.size, dict(found.facts)
        return Cutout.of(outcome.id, outcome.link, media_type, size, facts, outcome.timings)

    async def _failed(self, task: Task, error: ObjectCutError) -> str:
        """Once more if that may help. A busy service is no attempt: jobs wait for as long as they may."""
        ledger, now = self._tools.ledger, self._clock()
        counted = error.status != _BUSY
        helps = error.status in _PASSING and now - task.created_at < self._config.max_age
        if helps and (not counted or task.attempts < self._config.attempts):
            pause = max(error.retry_after or 0.0, min(_LONGEST_PAUSE, 2.0 ** (task.attempts - 1)))
            due = now + pause * random.uniform(1.0, 1.2)  # noqa: S311
            await insist(lambda: ledger.postpone(task, due, counted=counted))
            return "postponed"
        problem = body(error, task.request_id).model_dump_json()
        await insist(lambda: ledger.fail(task, problem))
        return "failed"


def _job(task: Task, compose: Compose) -> Job:
    """The result's name is the task's own: whenever and however often it is made, it is stored once."""
    return Job(
        task.source,
        CutoutOptions.model_validate_json(task.options),
        task.background,
        store=True,
        name=f"{task.id}/{task.position}",
        owner=task.owner,
        life=task.life,
        compose=compose,
    )
