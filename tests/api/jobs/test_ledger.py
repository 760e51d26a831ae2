"""What is accepted ends once: claims, failures, restarts, limits and expiry, transaction by transaction."""

import os
import stat
from pathlib import Path

import pytest

from api.errors import IdempotencyMismatch, JobsUnavailable, ObjectCutError, Overloaded, RateLimited
from api.jobs.database import Database
from api.jobs.ledger import JobLedger
from api.jobs.records import JobRecord, Task
from tests.api.jobs.conftest import MakeLedger, new_job
from tests.fakes import FakeClock

URLS = ["https://a.example/1", "https://a.example/2", "https://a.example/3"]
CUTOUT, ERROR = '{"id": "x"}', '{"code": "corrupt_image"}'


async def claimed(ledger: JobLedger) -> Task:
    task = await ledger.claim()
    assert task is not None
    return task


async def found(ledger: JobLedger, id: str = "job_1", owner: str = "key_a") -> JobRecord:
    record = await ledger.find(id, owner)
    assert record is not None
    return record


async def done(ledger: JobLedger) -> Task:
    task = await claimed(ledger)
    assert await ledger.settle(task, CUTOUT)
    assert await ledger.succeed(task)
    return task


async def count(database: Database, table: str) -> int:
    return await database.read(
        lambda connection: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]),  # noqa: S608
        0,
    )


async def test_nothing_is_made_before_the_first_job(ledger: JobLedger, tmp_path: Path) -> None:
    assert await ledger.find("job_1", "key_a") is None
    assert await ledger.next_due() is None
    assert await ledger.recover(lambda _: ERROR) == 0
    assert await ledger.sweep() == 0
    assert os.listdir(tmp_path) == []


async def test_the_file_is_its_owners_alone(ledger: JobLedger, tmp_path: Path) -> None:
    await ledger.add(new_job())
    modes = {stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)}
    assert modes == {0o600}


async def test_a_job_from_its_acceptance_to_its_end(
    ledger: JobLedger, clock: FakeClock, database: Database
) -> None:
    assert (await ledger.add(new_job(webhook="https://a.example"))).status == "queued"
    task = await claimed(ledger)
    assert (task.source, task.background, task.attempts) == (b"a picture", None, 1)
    assert (await found(ledger)).status == "running"
    assert await ledger.settle(task, CUTOUT)
    assert (await found(ledger)).items[0].cutout is None  # not before it is paid for
    clock.now += 5
    assert await ledger.succeed(task)
    job = await found(ledger)
    assert (job.status, job.finished_at, job.ends_at) == ("succeeded", clock.now, clock.now + 1000)
    assert job.items[0].cutout == CUTOUT
    assert await count(database, "uploads") == 0
    assert await count(database, "deliveries") == 1
    assert await ledger.succeed(task)  # repeated: it has, and nothing comes of it
    assert await count(database, "deliveries") == 1
    assert await ledger.claim() is None


@pytest.mark.parametrize(
    ("failed", "status"),
    [
        pytest.param(0, "succeeded", id="none failed"),
        pytest.param(2, "succeeded", id="one succeeded"),
        pytest.param(3, "failed", id="all failed"),
    ],
)
async def test_how_a_job_ends(ledger: JobLedger, database: Database, failed: int, status: str) -> None:
    await ledger.add(new_job(sources=URLS))
    for number in range(3):
        assert (await found(ledger)).finished_at is None
        if number < failed:
            assert await ledger.fail(await claimed(ledger), ERROR)
        else:
            await done(ledger)
    job = await found(ledger)
    assert job.status == status
    assert [item.error for item in job.items].count(ERROR) == failed
    assert await count(database, "deliveries") == 0  # nobody asked


async def test_callers_have_their_turn_one_after_the_other(ledger: JobLedger) -> None:
    await ledger.add(new_job("job_1", sources=URLS))
    await ledger.add(new_job("job_2", sources=URLS))
    await ledger.add(new_job("job_3", bucket="b", sources=URLS[:2]))
    await ledger.add(new_job("job_4", bucket="c", sources=URLS[:1]))
    order = [(task.bucket, task.id, task.position) for task in [await claimed(ledger) for _ in range(9)]]
    assert [bucket for bucket, *_ in order[:6]] in (
        ["key_a", "b", "c", "key_a", "b", "key_a"],
        ["b", "c", "key_a", "b", "key_a", "key_a"],
        ["b", "key_a", "c", "b", "key_a", "key_a"],
    )
    own = [(id, position) for bucket, id, position in order if bucket == "key_a"]
    assert own == sorted(own)


@pytest.mark.parametrize("counted", [True, False])
async def test_what_is_postponed_comes_again_later(
    ledger: JobLedger, clock: FakeClock, counted: bool
) -> None:
    await ledger.add(new_job())
    assert await ledger.postpone(await claimed(ledger), clock.now + 10, counted=counted)
    assert await ledger.claim() is None
    assert await ledger.next_due() == clock.now + 10
    clock.now += 10
    assert (await claimed(ledger)).attempts == (2 if counted else 1)


class TestARestart:
    async def test_what_was_running_is_queued_again(self, ledger: JobLedger, make_ledger: MakeLedger) -> None:
        await ledger.add(new_job(sources=URLS))
        await claimed(ledger)
        second = make_ledger()
        assert await second.recover(lambda _: ERROR) == 1
        tasks = [await claimed(second) for _ in range(3)]
        assert [(task.position, task.attempts) for task in tasks] == [(0, 2), (1, 1), (2, 1)]

    async def test_what_was_stored_is_done(
        self, ledger: JobLedger, make_ledger: MakeLedger, database: Database
    ) -> None:
        await ledger.add(new_job(webhook="https://a.example"))
        await ledger.settle(await claimed(ledger), CUTOUT)
        await make_ledger().recover(lambda _: ERROR)
        job = await found(ledger)
        assert (job.status, job.items[0].cutout) == ("succeeded", CUTOUT)
        assert await count(database, "deliveries") == 1

    async def test_what_may_be_the_cause_is_not_tried_for_ever(self, make_ledger: MakeLedger) -> None:
        ledger = make_ledger(attempts=2)
        await ledger.add(new_job(sources=URLS[:2]))
        for _ in range(2):
            await claimed(ledger)
            await ledger.recover(lambda task: f'"attempt {task.attempts}"')
        items = (await found(ledger)).items
        assert (items[0].status, items[0].error) == ("failed", '"attempt 2"')
        assert (await claimed(ledger)).position == 1

    async def test_what_was_left_in_peace_is_no_attempt(self, ledger: JobLedger) -> None:
        await ledger.add(new_job())
        await ledger.release(await claimed(ledger))
        task = await claimed(ledger)
        assert task.attempts == 1
        await ledger.settle(task, CUTOUT)
        await ledger.release(task)  # it may have been paid for
        assert await ledger.claim() is None


class TestRemoving:
    async def test_a_job_that_runs_is_cancelled(self, ledger: JobLedger, database: Database) -> None:
        await ledger.add(new_job(sources=URLS, webhook="https://a.example"))
        await done(ledger)
        running = await claimed(ledger)
        before = await ledger.remove("job_1", "key_a")
        assert before is not None
        assert before.items[0].cutout == CUTOUT  # whoever removed it can remove that, too
        job = await found(ledger)
        assert (job.status, {item.status for item in job.items}) == ("cancelled", {"cancelled"})
        assert await ledger.claim() is None
        assert not await ledger.settle(running, CUTOUT)
        assert not await ledger.succeed(running)
        assert not await ledger.fail(running, ERROR)
        assert not await ledger.postpone(running, 0, counted=True)
        assert await count(database, "deliveries") == 0

    async def test_a_job_that_has_ended_is_removed(self, ledger: JobLedger, database: Database) -> None:
        await ledger.add(new_job(webhook="https://a.example"))
        task = await done(ledger)
        assert await ledger.remove("job_1", "key_a")
        assert await ledger.find("job_1", "key_a") is None
        assert not await ledger.succeed(task)
        for table in ("jobs", "items", "uploads", "deliveries"):
            assert await count(database, table) == 0

    @pytest.mark.parametrize(("id", "owner"), [("job_2", "key_a"), ("job_1", "key_b")])
    async def test_what_is_not_theirs_stays(self, ledger: JobLedger, id: str, owner: str) -> None:
        await ledger.add(new_job())
        assert await ledger.find(id, owner) is None
        assert await ledger.remove(id, owner) is None
        await found(ledger)


LIMITS = [
    pytest.param({"per_caller": 2}, RateLimited, id="jobs of a caller"),
    pytest.param({"queued_images": 2}, Overloaded, id="pictures"),
    pytest.param({"queued_bytes": 18}, Overloaded, id="bytes"),
]


@pytest.mark.parametrize(("config", "error"), LIMITS)
async def test_limits_hold_until_work_is_done(
    make_ledger: MakeLedger, config: dict[str, int], error: type[ObjectCutError]
) -> None:
    ledger = make_ledger(**config)
    await ledger.add(new_job("job_1"))
    await ledger.add(new_job("job_2"))
    with pytest.raises(error) as refused:
        await ledger.add(new_job("job_3"))
    assert (refused.value.status, refused.value.retry_after is None) == (429, False)
    await done(ledger)
    await ledger.add(new_job("job_3"))


class TestOnce:
    async def test_the_same_request_is_the_same_job(self, ledger: JobLedger) -> None:
        first = await ledger.add(new_job("job_1", once="k", fingerprint="f"))
        again = await ledger.add(new_job("job_2", once="k", fingerprint="f"))
        assert first.id == again.id == "job_1"
        other = await ledger.add(new_job("job_3", bucket="another", once="k", fingerprint="f"))
        assert other.id == "job_3"

    async def test_another_request_is_refused(self, ledger: JobLedger) -> None:
        await ledger.add(new_job("job_1", once="k", fingerprint="f"))
        with pytest.raises(IdempotencyMismatch):
            await ledger.add(new_job("job_2", once="k", fingerprint="g"))

    async def test_a_day_later_it_is_a_new_one(self, ledger: JobLedger, clock: FakeClock) -> None:
        await ledger.add(new_job("job_1", once="k", fingerprint="f"))
        clock.now += 86_401
        assert (await ledger.add(new_job("job_2", once="k", fingerprint="g"))).id == "job_2"


async def test_what_has_expired_is_gone_and_then_removed(
    ledger: JobLedger, clock: FakeClock, database: Database
) -> None:
    await ledger.add(new_job("job_1"))
    await ledger.add(new_job("job_2", webhook="https://a.example"))
    await ledger.add(new_job("job_3"))
    await done(ledger)
    await done(ledger)
    clock.now += 999
    assert await ledger.sweep() == 0
    clock.now += 1
    assert await ledger.find("job_1", "key_a") is None
    assert await ledger.sweep() == 1  # the second's end is still to be told; the third has not ended
    assert (await found(ledger, "job_3")).ends_at == clock.now + 1000
    assert await count(database, "jobs") == 2


async def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").write_bytes(b"no database at all" * 100)
    database = Database(tmp_path / "jobs.sqlite", 5)
    with pytest.raises(JobsUnavailable):
        await database.write(lambda connection: connection.total_changes)
    await database.close()


async def test_what_raises_writes_nothing(database: Database, ledger: JobLedger) -> None:
    await ledger.add(new_job())
    with pytest.raises(ZeroDivisionError):
        await database.write(lambda connection: connection.execute("DELETE FROM jobs").rowcount / 0)
    await found(ledger)


async def test_the_file_shrinks_again(ledger: JobLedger, tmp_path: Path, database: Database) -> None:
    await ledger.add(new_job(uploads={"image": bytes(5_000_000)}))
    await done(ledger)
    await ledger.sweep()
    await database.read(lambda connection: connection.executescript("PRAGMA wal_checkpoint(TRUNCATE)"), None)
    assert os.stat(tmp_path / "jobs.sqlite").st_size < 500_000
