"""The two clients behind one face, so that each test is run with both."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from objectcut_client import AsyncObjectCut, ObjectCut
from tests.fakes import FakeClock


class Face(Protocol):
    """Calls a method by its name, and gives its result."""

    def __call__(self, method: str, *args: Any, **options: Any) -> Any: ...


class Sleeps:
    """Pauses that take no time but the clock's."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds: list[float] = []

    def sync(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.clock.now += seconds

    async def aio(self, seconds: float) -> None:
        self.sync(seconds)


@contextmanager
def face(kind: str, *args: Any, sleeps: Sleeps | None = None, **settings: Any) -> Iterator[Face]:
    """kind: sync or async. args, settings: those of the clients' constructors."""
    if sleeps:
        settings |= {"clock": sleeps.clock, "sleep": sleeps.sync if kind == "sync" else sleeps.aio}
    if kind == "sync":
        with ObjectCut(*args, **settings) as client:
            yield lambda method, *args, **options: getattr(client, method)(*args, **options)
        return
    with asyncio.Runner() as runner:
        awaited = AsyncObjectCut(*args, **settings)
        try:
            yield lambda method, *args, **options: runner.run(getattr(awaited, method)(*args, **options))
        finally:
            runner.run(awaited.close())
