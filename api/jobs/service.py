"""Every part of jobs, put together."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from api.accounts import Accounts
from api.errors import ObjectCutError
from api.jobs.answers import KeptAnswers
from api.jobs.changes import Changes
from api.jobs.config import JobsConfig
from api.jobs.courier import Courier
from api.jobs.database import Database
from api.jobs.dispatch import Dispatcher
from api.jobs.insistence import insist
from api.jobs.ledger import JobLedger
from api.jobs.outbox import Outbox
from api.jobs.postman import Postman
from api.jobs.records import JobRecord, NewJob, Task
from api.jobs.runner import Runner, Tools
from api.jobs.signing import WebhookKeys
from api.jobs.tenure import tenure, until
from api.jobs.views import Views
from api.pipeline import Pipeline
from api.problems import body
from api.storage.served import Sweeper
from api.types import Store

logger = logging.getLogger("objectcut.jobs")


@dataclass(frozen=True, slots=True)
class Parts:
    """What jobs need of the rest of the service. base_url: what clients reach it under.

    item, webhook: are told the fate of each picture and each delivery.
    """

    pipeline: Pipeline
    store: Store
    accounts: Accounts
    courier: Courier
    base_url: str
    at_once: int
    item: Callable[[str], None]
    webhook: Callable[[str], None]


class Jobs:
    """Accepts, works, tells and forgets. Of several processes with one database one works, all accept."""

    def __init__(self, config: JobsConfig, parts: Parts) -> None:
        self.config = config
        self.views = Views(parts.base_url)
        self.changes = Changes()
        self._database = Database(config.database, config.timeout)
        self._ledger = JobLedger(self._database, config)
        self.answers = KeptAnswers(self._database, config)
        self.keys = WebhookKeys(self._database, config.webhooks)
        self.courier = parts.courier
        self._outbox = Outbox(self._database)
        postman = Postman(self._outbox, parts.courier, self.keys, self.views, config.webhooks, parts.webhook)
        self._deliveries = Dispatcher(
            self._outbox.next_due, self._outbox.claim, postman.deliver, at_once=config.webhooks.at_once
        )
        tools = Tools(self._ledger, parts.pipeline, parts.store, parts.accounts, self.changes, parts.item)
        self._runner = Runner(tools, config, finished=self._deliveries.wake)
        self._pictures = Dispatcher(
            self._ledger.next_due, self._runner.take, self._runner.work, at_once=parts.at_once
        )
        self._sweeper = Sweeper(self._sweep, config.sweep_seconds)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Goes on with what was accepted before."""
        self._task = asyncio.create_task(self._run(), name="jobs")

    async def stop(self) -> None:
        """Stops working; what has not ended is gone on with at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._sweeper.close()

    async def close(self) -> None:
        """Lets go of files and threads."""
        await self.courier.close()
        await self._database.close()

    async def accept(self, job: NewJob) -> JobRecord:
        """See JobLedger.add."""
        record = await self._ledger.add(job)
        self._pictures.wake()
        return record

    async def find(self, id: str, owner: str) -> JobRecord | None:
        """See JobLedger.find."""
        return await self._ledger.find(id, owner)

    async def remove(self, id: str, owner: str) -> JobRecord | None:
        """Cancels a job or removes one that has ended, with its results; as it was before."""
        removed = await self._ledger.remove(id, owner)
        if removed is not None:
            self._runner.cancel(id)
            self.changes.notify(id)
            for item in self.views.job(removed).items:
                if item.cutout:
                    await self._runner.discard(item.cutout.id)
        return removed

    async def _run(self) -> None:
        with tenure(self.config.database.with_suffix(".lock")) as attempt:
            await until(lambda: self._database.exists() and attempt())
            await insist(self._recover)
            await self._sweeper.start()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pictures.run(), name="jobs: pictures")
                group.create_task(self._deliveries.run(), name="jobs: webhooks")

    async def _recover(self) -> None:
        def given_up(task: Task) -> str:
            return body(ObjectCutError("begun too often"), task.request_id).model_dump_json()

        count = await self._ledger.recover(given_up)
        await self._outbox.recover()
        logger.info("jobs are worked on", extra={"fields": {"interrupted": count}})

    async def _sweep(self) -> int:
        return await self._ledger.sweep() + await self.answers.sweep()
