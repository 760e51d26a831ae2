"""A ledger in a file of its own, with a clock that is moved by hand."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from api.jobs.config import JobsConfig
from api.jobs.database import Database
from api.jobs.ledger import JobLedger
from api.jobs.records import NewJob
from tests.fakes import FakeClock

MakeLedger = Callable[..., JobLedger]


def new_job(id: str = "job_1", **given: Any) -> NewJob:
    fields: dict[str, Any] = {
        "id": id,
        "owner": "key_a",
        "bucket": "key_a",
        "plan": "default",
        "request_id": "r",
        "options": "{}",
        "life": 1000.0,
        "sources": [None],
        "uploads": {"image": b"a picture"},
    }
    if "sources" in given:
        fields["uploads"] = {}
    return NewJob(**fields | given)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "jobs.sqlite", 30)
    yield database
    await database.close()


@pytest.fixture
def make_ledger(database: Database, clock: FakeClock) -> MakeLedger:
    """A ledger over the database: each is a process of its own, so to say."""
    return lambda **config: JobLedger(database, JobsConfig(**config), clock)


@pytest.fixture
def ledger(make_ledger: MakeLedger) -> JobLedger:
    return make_ledger()
