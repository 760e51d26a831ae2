"""A job from its acceptance to its end, over HTTP."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx

DONE = frozenset({"succeeded", "failed", "cancelled"})


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def ended(http: httpx.AsyncClient, id: str) -> dict[str, Any]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        job: dict[str, Any] = (await http.get(f"/v1/jobs/{id}")).json()
        if job["status"] in DONE:
            return job
        await asyncio.sleep(0.01)
    raise AssertionError("the job does not end")


async def made(http: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = await http.post("/v1/jobs", **request)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job
