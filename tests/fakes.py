"""The seams' in-memory stand-ins, and pictures drawn by code."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from api.accounts.keys import KeyRecord
from api.errors import SourceUnreachable
from api.pipeline import Job, Outcome
from api.source.decode import decode
from api.source.limits import DecodeLimits
from api.storage import MemoryStore, UrlSigner
from api.types import Deadline, Encoded, Link, Picture
from postprocess.types import RGB, Alpha

BASE_URL = "http://test"
SIDE = 64
"""Side of the fake network, px."""


@dataclass
class FakeClock:
    """Seconds that pass only when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def photo(width: int = 96, height: int = 64, kind: str = ".jpg") -> bytes:
    """A red disc on a green gradient, as a file."""
    ramp = np.linspace(60, 200, width, dtype=np.uint8)
    bgr = np.zeros((height, width, 3), np.uint8)
    bgr[..., 1] = ramp
    cv2.circle(bgr, (width // 2, height // 2), height // 3, (30, 40, 220), -1, cv2.LINE_AA)
    encoded, data = cv2.imencode(kind, bgr)
    assert encoded
    return data.tobytes()


@dataclass
class FakeFetcher:
    """A web of its own: bytes, or the error that the URL leads to."""

    pages: Mapping[str, bytes | Exception] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def fetch(self, url: str, *, deadline: Deadline) -> bytes:
        deadline.check("fetching")
        self.asked.append(url)
        page = self.pages.get(url, SourceUnreachable("404"))
        if isinstance(page, Exception):
            raise page
        return page

    async def close(self) -> None:
        pass


@dataclass
class InlineDecoder:
    """The real decoder, without its processes."""

    limits: DecodeLimits = field(default_factory=DecodeLimits)
    running: bool = False

    async def start(self) -> None:
        self.running = True

    async def decode(self, data: bytes, *, deadline: Deadline) -> Picture:
        deadline.check("decoding")
        return decode(data, self.limits)

    async def close(self) -> None:
        self.running = False


@dataclass
class FakeEngine:
    """Finds a soft disc in the middle of everything.

    fails: raised instead. holds: waited for first; `waiting` and `cancelled` tell who did.
    """

    fails: Exception | None = None
    holds: asyncio.Event | None = None
    empty: bool = False
    ready: bool = True
    waiting: int = 0
    cancelled: int = 0
    seen: list[tuple[int, ...]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    async def start(self) -> None:
        self.log.append("engine started")

    async def close(self) -> None:
        self.log.append("engine closed")

    async def matte(
        self, rgb: RGB, *, model: str, resolution: int | None = None, deadline: Deadline
    ) -> Alpha:
        deadline.check("inference")
        self.waiting += 1
        try:
            if self.holds:
                await self.holds.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        self.seen.append(rgb.shape)
        if self.fails:
            raise self.fails
        alpha = np.zeros((SIDE, SIDE), np.float32)
        if not self.empty:
            cv2.circle(alpha, (SIDE // 2, SIDE // 2), SIDE // 3, 1.0, -1)
            alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 1.5), np.float32)
        return alpha

    def status(self) -> dict[str, Any]:
        facts = {"warm": self.ready, "device": "none", "precision": "float32", "sha256": "0" * 64}
        return {"ready": self.ready, "models": {"lite": facts}}

    def models(self) -> list[dict[str, Any]]:
        return [
            {
                "name": "lite",
                "available": self.ready,
                "description": "A disc.",
                "input_width": SIDE,
                "input_height": SIDE,
                "licence": "MIT",
                "paper": "None.",
                "source": "tests/fakes.py",
            }
        ]


@dataclass
class ScriptedCourier:
    """Answers with what the script says, then 204."""

    script: list[int | Exception] = field(default_factory=list)
    sent: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def check(self, url: str) -> None:
        pass

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float) -> int:
        self.sent.append((url, dict(headers), body))
        answer = self.script.pop(0) if self.script else 204
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        pass


class MemoryLedger:
    """Keys and credits of this process alone."""

    def __init__(self) -> None:
        self.records: dict[str, KeyRecord] = {}

    async def add(self, record: KeyRecord) -> None:
        self.records[record.id] = record

    async def find(self, id: str) -> KeyRecord | None:
        return self.records.get(id)

    async def all(self) -> list[KeyRecord]:
        return sorted(self.records.values(), key=lambda record: (record.created_at, record.id))

    async def revoke(self, id: str) -> bool:
        record = self.records.get(id)
        if record is None or record.revoked_at is not None:
            return False
        self.records[id] = replace(record, revoked_at=int(time.time()))
        return True

    async def charge(self, id: str, amount: int) -> bool:
        record = self.records.get(id)
        if record is None or (record.balance is not None and record.balance < amount):
            return False
        if record.balance is not None:
            self.records[id] = replace(record, balance=record.balance - amount)
        return True

    async def grant(self, id: str, amount: int) -> bool:
        record = self.records.get(id)
        if record is None or record.balance is None or record.granted is None:
            return False
        self.records[id] = replace(record, balance=record.balance + amount, granted=record.granted + amount)
        return True

    async def close(self) -> None:
        pass


class FailingStore(MemoryStore):
    """A store whose operations fail."""

    def __init__(self, error: Exception) -> None:
        super().__init__(UrlSigner([b"k" * 32], BASE_URL))
        self._error = error

    async def put(
        self,
        key: str,
        item: Encoded,
        *,
        facts: Mapping[str, str],
        deadline: Deadline,
        life: float | None = None,
    ) -> Link:
        raise self._error


def memory_store() -> MemoryStore:
    """A fresh store whose links lead to BASE_URL."""
    return MemoryStore(UrlSigner([b"k" * 32], BASE_URL))


@dataclass
class CountingRemover:
    """A pipeline that keeps its jobs, and how many were worked on at once."""

    jobs: list[Job] = field(default_factory=list)
    running: int = 0
    most: int = 0

    async def remove_background(self, job: Job, deadline: Deadline) -> Outcome:
        self.jobs.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.001)
        self.running -= 1
        assert isinstance(job.source, bytes)
        return self.answer(job, job.source)

    def answer(self, job: Job, photo: bytes) -> Outcome:
        """For each test to say; what it raises, the job raises."""
        raise NotImplementedError
