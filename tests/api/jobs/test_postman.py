"""Deliveries until they are acknowledged or given up; slow receivers of one caller hold up nobody else."""

import hmac
import json
import time
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from sqlite3 import Connection, Row

import pytest

from api.errors import JobsUnavailable, SourceTimeout
from api.jobs import rows
from api.jobs.config import WebhookConfig
from api.jobs.database import Database
from api.jobs.ledger import JobLedger
from api.jobs.outbox import Outbox
from api.jobs.postman import Postman
from api.jobs.records import Delivery, JobRecord
from api.jobs.signing import WebhookKeys, shown
from api.jobs.views import Views
from tests.api.jobs.conftest import new_job
from tests.fakes import FakeClock, ScriptedCourier

URL = "https://hook.example/"
CONFIG = WebhookConfig.model_validate(
    {"keys": ["k" * 32], "attempts": 4, "first_delay": 10, "max_delay": 25, "max_age": 1000}
)


@dataclass
class Post:
    database: Database
    ledger: JobLedger
    clock: FakeClock
    courier: ScriptedCourier = field(default_factory=ScriptedCourier)
    fates: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.keys = WebhookKeys(self.database, CONFIG)
        self.outbox = Outbox(self.database, self.clock)
        views = Views("https://cut.example")
        self.postman = Postman(
            self.outbox, self.courier, self.keys, views, CONFIG, self.fates.append, self.clock
        )

    async def finish(self, id: str, owner: str = "key_a") -> None:
        await self.ledger.add(new_job(id, owner=owner, bucket=owner, webhook=URL))
        task = await self.ledger.claim()
        assert task is not None
        await self.ledger.fail(task, PROBLEM)

    async def claim(self) -> Delivery:
        delivery = await self.outbox.claim()
        assert delivery is not None
        return delivery

    async def deliver(self) -> None:
        await self.postman.deliver(await self.claim())


PROBLEM = json.dumps(
    {
        "type": "/errors#no_subject",
        "title": "t",
        "status": 422,
        "code": "no_subject",
        "detail": None,
        "request_id": "r",
        "errors": [],
    }
)


@pytest.fixture
def post(database: Database, ledger: JobLedger, clock: FakeClock) -> Post:
    return Post(database, ledger, clock)


async def test_a_delivery_is_signed_and_ends_with_its_acknowledgement(post: Post) -> None:
    await post.finish("job_1")
    await post.deliver()
    ((url, headers, body),) = post.courier.sent
    assert url == URL
    told = json.loads(body)
    assert (told["type"], told["id"], told["data"]["status"]) == ("job.finished", "msg_job_1", "failed")
    assert told["data"]["url"] == "https://cut.example/v1/jobs/job_1"
    key = b64decode(shown((await post.keys.of("key_a"))[0]).removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert headers["webhook-timestamp"] == "1000"
    assert post.fates == ["acknowledged"]
    assert await post.outbox.next_due() is None


async def test_it_is_tried_again_later_and_later_and_then_given_up(post: Post) -> None:
    post.courier.script = [500, SourceTimeout("x"), 302, ValueError("a bug"), 500]
    await post.finish("job_1")
    pauses = []
    for _ in range(3):
        await post.deliver()
        due = await post.outbox.next_due()
        assert due is not None
        assert await post.outbox.claim() is None
        pauses.append(due - post.clock.now)
        post.clock.now = due
    await post.deliver()
    assert await post.outbox.next_due() is None
    for pause, base in zip(pauses, (10, 20, 25), strict=True):
        assert base <= pause <= base * 1.2
    assert post.fates == ["postponed"] * 3 + ["given_up"]
    bodies = {body for *_, body in post.courier.sent}
    assert len(bodies) == 1  # a try is the same delivery
    assert len({headers["webhook-id"] for _, headers, _ in post.courier.sent}) == 1


async def test_what_is_too_old_is_given_up(post: Post) -> None:
    post.courier.script = [500]
    await post.finish("job_1")
    post.clock.now += 1000
    assert await post.ledger.sweep() == 0  # still to be told
    await post.deliver()
    assert post.fates == ["given_up"]
    assert await post.ledger.sweep() == 1


async def test_one_caller_takes_two_places_at_most(post: Post) -> None:
    for number in range(4):
        await post.finish(f"job_{number}")
    await post.finish("job_b", owner="key_b")
    taken = [await post.claim() for _ in range(3)]
    assert [delivery.owner for delivery in taken] == ["key_a", "key_a", "key_b"]
    assert await post.outbox.next_due() is None
    assert await post.outbox.claim() is None
    await post.postman.deliver(taken[0])
    assert (await post.claim()).owner == "key_a"


async def test_what_was_being_sent_is_sent_by_the_next_process(post: Post) -> None:
    await post.finish("job_1")
    first = await post.claim()
    assert await post.outbox.claim() is None
    second = Outbox(post.database, post.clock)
    await second.recover()
    again = await second.claim()
    assert again is not None
    assert (again.id, again.attempts) == (first.id, 2)


async def test_a_job_that_is_removed_is_not_told(post: Post) -> None:
    await post.finish("job_1")
    await post.ledger.remove("job_1", "key_a")
    assert await post.outbox.claim() is None


async def test_a_claim_that_came_too_late_is_given_back(
    post: Post, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for id in ("job_1", "job_2"):
        await post.finish(id)
    first = await post.claim()
    of_job, delays = rows.of_job, [0.5]

    def slow(connection: Connection, row: Row, now: float) -> JobRecord:
        time.sleep(delays.pop() if delays else 0)
        return of_job(connection, row, now)

    monkeypatch.setattr(rows, "of_job", slow)
    monkeypatch.setattr(database, "_timeout", 0.2)
    with pytest.raises(JobsUnavailable):
        await post.outbox.claim()
    monkeypatch.setattr(database, "_timeout", 30)
    second = await post.claim()
    assert (first.attempts, second.attempts) == (1, 1)
    assert first.id != second.id
