"""Work that nobody waits for takes only what is idle, and still gets its turn."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from api.errors import Overloaded
from api.turns import Turns


async def settled(task: "asyncio.Task[None]") -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


async def test_spare_work_waits_while_requests_take_what_is_spare() -> None:
    turns = Turns(4, spare=2)
    await turns.take_spare()
    async with AsyncExitStack() as requests:
        await requests.enter_async_context(turns.turn())
        second = asyncio.create_task(turns.take_spare())
        assert not await settled(second)
    assert await settled(second)
    third = asyncio.create_task(turns.take_spare())
    assert not await settled(third)
    turns.release_spare()
    assert await settled(third)


async def test_one_is_let_through_on_a_service_that_is_never_idle() -> None:
    turns = Turns(3, spare=1)
    async with turns.turn(), turns.turn():
        await turns.take_spare()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await turns.take_spare()
        turns.release_spare()
        await turns.take_spare()


async def test_spare_work_takes_no_place_that_a_request_waits_for() -> None:
    turns = Turns(1)
    async with turns.turn():
        spare = asyncio.create_task(turns.take_spare())
        await asyncio.sleep(0)
        entered, leave = asyncio.Event(), asyncio.Event()

        async def request() -> None:
            async with turns.turn():
                entered.set()
                await leave.wait()

        waiting = asyncio.create_task(request())
        await asyncio.sleep(0)
    await entered.wait()
    assert not await settled(spare)
    leave.set()
    await waiting
    assert await settled(spare)


async def test_a_request_beside_spare_work_keeps_its_patience() -> None:
    turns = Turns(1, 0.01)
    await turns.take_spare()
    with pytest.raises(Overloaded):
        async with turns.turn():
            pass
    turns.release_spare()
    async with turns.turn():
        pass


async def test_a_rest_is_told_once_and_only_when_nobody_came_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.turns._REST", 0.05)
    told: list[None] = []
    turns = Turns(2, rested=lambda: told.append(None))
    async with turns.turn():
        async with turns.turn():
            pass
        await asyncio.sleep(0.1)
        assert not told
    async with turns.turn():
        pass
    await asyncio.sleep(0.2)
    assert len(told) == 1
