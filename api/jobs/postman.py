"""Tells the end of jobs to those who asked to be told."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.jobs.config import WebhookConfig
from api.jobs.courier import Courier
from api.jobs.insistence import insist
from api.jobs.outbox import Outbox
from api.jobs.records import Delivery
from api.jobs.signing import WebhookKeys, signature_headers
from api.jobs.views import Finished, Views, moment

logger = logging.getLogger("objectcut.webhooks")


@dataclass(frozen=True, slots=True)
class Postman:
    """One delivery after the other. observe: is told `acknowledged`, `postponed` or `given_up`.

    clock: seconds since 1970.
    """

    outbox: Outbox
    courier: Courier
    keys: WebhookKeys
    views: Views
    config: WebhookConfig
    observe: Callable[[str], None]
    clock: Callable[[], float] = time.time

    async def deliver(self, delivery: Delivery) -> None:
        """One try. Any 2xx is an acknowledgement; whatever else comes, it is tried again for a while."""
        try:
            failure = await self._failure(delivery)
            if failure is None:
                fate = "acknowledged"
            elif self._over(delivery):
                fate = "given_up"
                logger.warning("webhook %s is given up: %s", delivery.id, failure)
            else:
                fate = "postponed"
                logger.info("webhook %s: %s", delivery.id, failure)
            if fate == "postponed":
                await insist(lambda: self.outbox.again(delivery, self.clock() + self._pause(delivery)))
            else:
                await insist(lambda: self.outbox.delivered(delivery))
            self.observe(fate)
        finally:
            self.outbox.release(delivery)

    async def _failure(self, delivery: Delivery) -> str | None:
        body = Finished(
            id=delivery.id, created_at=moment(delivery.created_at), data=self.views.job(delivery.job)
        )
        data = body.model_dump_json().encode()
        try:
            keys = await self.keys.of(delivery.owner)
            headers = signature_headers(keys, delivery.id, int(self.clock()), data)
            status = await self.courier.post(delivery.url, headers, data, seconds=self.config.timeout)
        except Exception as exc:  # whatever it is, the delivery must go on
            return f"{type(exc).__name__}: {exc}"
        return None if 200 <= status < 300 else f"answered {status}"

    def _over(self, delivery: Delivery) -> bool:
        return (
            delivery.attempts >= self.config.attempts
            or self.clock() - delivery.created_at >= self.config.max_age
        )

    def _pause(self, delivery: Delivery) -> float:
        """Twice as long each time, and up to a fifth more, so that not all return at once. s"""
        pause = min(self.config.max_delay, self.config.first_delay * 2.0 ** (delivery.attempts - 1))
        return pause * random.uniform(1.0, 1.2)  # noqa: S311
