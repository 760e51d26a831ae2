"""Work that nobody waits for takes only what is idle, and still gets its turn."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest

from api.errors import Overloaded
from api.turns import Threads, Turns


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


async def test_spare_work_queues_in_the_end_on_a_service_that_is_always_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.turns._IMPATIENT", 0.02)
    turns = Turns(1)
    served = 0

    async def requests() -> None:
        nonlocal served
        while True:
            async with turns.turn():
                served += 1
                await asyncio.sleep(0.005)

    busy = [asyncio.create_task(requests()) for _ in range(3)]
    first, second = [asyncio.create_task(turns.take_spare()) for _ in range(2)]
    done, _ = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert len(done) == 1
    await asyncio.sleep(0.1)
    assert not (first.done() and second.done()), "one at a time"
    turns.release_spare()
    await asyncio.wait({first, second}, timeout=10)
    assert first.done()
    assert second.done()
    turns.release_spare()
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert served > 3


async def test_a_turn_lasts_as_long_as_its_thread_works() -> None:
    turns, goes_on = Turns(1), threading.Event()
    with ThreadPoolExecutor(1) as executor:
        threads = Threads(executor)

        async def work() -> None:
            async with turns.turn(threads):
                await threads(goes_on.wait, 20)

        working = asyncio.create_task(work())
        await asyncio.sleep(0.02)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        waiting = asyncio.create_task(turns.take_spare())
        await asyncio.sleep(0.02)
        assert not waiting.done(), "nobody waits for it any more, and its picture is still in memory"
        goes_on.set()
        await asyncio.wait_for(waiting, 10)


async def test_a_turn_whose_thread_has_not_begun_ends_at_once() -> None:
    turns, goes_on = Turns(1), threading.Event()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(goes_on.wait, 20)
        threads = Threads(executor)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), turns.turn(threads):
                await threads(time.sleep, 0)
        await asyncio.wait_for(turns.take_spare(), 1)
        goes_on.set()
