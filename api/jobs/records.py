"""What is known of a job, apart from how it is kept. Times are Unix seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]

IMAGE, BACKGROUND = "image", "background"
"""Names of a job's uploads."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as it is accepted.

    owner: the caller's id, which alone may see the job. bucket: what it is counted by. options: JSON of
    CutoutOptions. background: a URL. sources: a URL for each picture; None: the upload IMAGE. life: seconds
    that results are kept. once, fingerprint: the request's Idempotency-Key, and what it was sent with.
    """

    id: str
    owner: str
    bucket: str
    plan: str
    request_id: str
    options: str
    life: float
    sources: Sequence[str | None]
    uploads: Mapping[str, bytes]
    background: str | None = None
    webhook: str | None = None
    once: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a job. cutout, error: JSON. changed: the job's sequence number when it last changed."""

    position: int
    source: str | None
    status: Status
    changed: int
    cutout: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands. ends_at: when it is forgotten; before it has finished, the earliest time.

    sequence: counts its changes. fingerprint: of the request that made it, if that had an Idempotency-Key.
    """

    id: str
    status: Status
    created_at: float
    finished_at: float | None
    ends_at: float
    sequence: int
    fingerprint: str | None
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One picture that has been taken on. attempts: this one included. source, background: URL or bytes."""

    number: int
    position: int
    id: str
    owner: str
    bucket: str
    plan: str
    request_id: str
    options: str
    life: float
    created_at: float
    attempts: int
    source: str | bytes
    background: str | bytes | None

    @property
    def place(self) -> tuple[int, int]:
        """What the ledger knows it by."""
        return self.number, self.position


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook that is due. attempts: this one included."""

    id: str
    url: str
    owner: str
    bucket: str
    created_at: float
    attempts: int
    job: JobRecord
