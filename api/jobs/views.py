"""A job as it travels over /v1, in answers, events and webhooks."""

from datetime import UTC, datetime
from typing import Self

from pydantic import BaseModel, Field

from api.jobs.records import Item, JobRecord, Status
from api.problems import Problem
from api.routes.bodies import Cutout


class JobItem(BaseModel):
    """One picture of a job."""

    index: int
    source: str | None = Field(description="Its `image_url`; null: it was uploaded.")
    status: Status
    cutout: Cutout | None = Field(description="Once it has succeeded.")
    error: Problem | None = Field(description="Once it has failed.")

    @classmethod
    def of(cls, item: Item) -> Self:
        """As the ledger has it."""
        return cls(
            index=item.position,
            source=item.source,
            status=item.status,
            cutout=None if item.cutout is None else Cutout.model_validate_json(item.cutout),
            error=None if item.error is None else Problem.model_validate_json(item.error),
        )


class JobState(BaseModel):
    """A job without its items."""

    id: str
    status: Status
    url: str = Field(description="Of this very job.")
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime = Field(
        description="When the job and its results are removed; before it has finished, the earliest time."
    )
    total: int = Field(description="Pictures.")
    succeeded: int
    failed: int


class Job(JobState):
    """A job."""

    items: list[JobItem]


class Progress(JobState):
    """A job, and the item of it that has changed."""

    item: JobItem


class Finished(BaseModel):
    """The body of a webhook."""

    type: str = "job.finished"
    id: str
    created_at: datetime
    data: Job


class Views:
    """Makes them. base_url: what clients reach the service under, without a slash at the end."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def job(self, record: JobRecord) -> Job:
        """All of it."""
        return Job(**self._state(record), items=[JobItem.of(item) for item in record.items])

    def progress(self, record: JobRecord, item: Item) -> Progress:
        """One change."""
        return Progress(**self._state(record), item=JobItem.of(item))

    def _state(self, record: JobRecord) -> dict[str, object]:
        fates = [item.status for item in record.items]
        return {
            "id": record.id,
            "status": record.status,
            "url": f"{self._base_url}{path_of(record.id)}",
            "created_at": moment(record.created_at),
            "finished_at": None if record.finished_at is None else moment(record.finished_at),
            "expires_at": moment(record.ends_at),
            "total": len(fates),
            "succeeded": fates.count("succeeded"),
            "failed": fates.count("failed"),
        }


def path_of(id: str) -> str:
    """The route of a job."""
    return f"/v1/jobs/{id}"


def moment(seconds: float) -> datetime:
    """Unix seconds as whole seconds of UTC."""
    return datetime.fromtimestamp(int(seconds), UTC)
