"""The batcher against a device that does what it is told: right, wrong, too little memory, gone.

Whatever happens, each test leaves through `serving`, which finds the gauges at zero, no task left behind and
the next good request answered.
"""

import asyncio
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from model.batcher import Batcher
from model.deadline import Deadline
from model.errors import DeadlineExceeded, DeviceLost, Draining, InferenceFailed, OutOfMemory, Overloaded
from tests.fakes import FakeClock
from tests.model.scripted_device import STICKY, ScriptedDevice, kinds, later, outcomes, serving


async def test_callers_of_one_moment_share_a_batch() -> None:
    device = ScriptedDevice()
    told: list[int] = []
    async with serving(device, on_batch=told.append) as batcher:
        assert await outcomes(batcher, range(8)) == [0, 10, 20, 30, 40, 50, 60, 70]
        assert device.sizes == [8]
        assert told == [8]


async def test_callers_are_told_their_wait_and_their_company() -> None:
    device = ScriptedDevice()
    told: list[tuple[str, float, int]] = []
    name: ContextVar[str] = ContextVar("name")

    async def call(batcher: Batcher[int, int], item: int) -> None:
        name.set(f"caller {item}")
        await batcher.submit(item, later())

    async with serving(
        device,
        alive=False,
        max_batch=2,
        on_answer=lambda seconds, size: told.append((name.get(), seconds, size)),
    ) as batcher:
        device.gate.clear()
        first = asyncio.create_task(call(batcher, 1))
        await device.busy()
        others = [asyncio.create_task(call(batcher, item)) for item in (2, 3)]
        await asyncio.sleep(0.05)
        device.gate.set()
        await asyncio.gather(first, *others)
        assert [(who, size) for who, _, size in told] == [("caller 1", 1), ("caller 2", 2), ("caller 3", 2)]
        assert told[0][1] < min(told[1][1], told[2][1])
        assert min(told[1][1], told[2][1]) >= 0.04


async def test_who_gets_no_result_is_told_nothing_of_a_wait() -> None:
    device = ScriptedDevice(poison={1})
    told: list[int] = []
    async with serving(device, alive=False, on_answer=lambda _, size: told.append(size)) as batcher:
        assert kinds(await outcomes(batcher, [1])) == [InferenceFailed]
        assert told == []


async def test_more_than_a_batch_is_more_than_one_batch() -> None:
    device = ScriptedDevice()
    async with serving(device, max_batch=3) as batcher:
        assert await outcomes(batcher, range(7)) == [0, 10, 20, 30, 40, 50, 60]
        assert device.sizes == [3, 3, 1]


async def test_a_batch_holds_items_of_one_group_and_the_oldest_item_says_which() -> None:
    device = ScriptedDevice()
    async with serving(device, max_batch=3, group=lambda item: item % 2) as batcher:
        items = [1, 2, 3, 4, 5, 7, 9, 6]
        assert await outcomes(batcher, items) == [10 * item for item in items]
        assert device.runs == [[1, 3, 5], [2, 4, 6], [7, 9]]


async def test_a_suspected_item_shares_no_batch() -> None:
    device = ScriptedDevice()
    async with serving(device) as batcher:
        items = [
            asyncio.create_task(batcher.submit(item, later(), alone=item in (2, 3))) for item in range(1, 6)
        ]
        assert await asyncio.gather(*items) == [10, 20, 30, 40, 50]
        assert sorted(device.runs[:3]) == [[1, 4, 5], [2], [3]]


async def test_no_group_starves_another_one() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, max_batch=2, group=lambda item: item == 100) as batcher:
        first = asyncio.create_task(batcher.submit(1, later()))
        await device.busy()
        callers = [asyncio.create_task(batcher.submit(item, later())) for item in (2, 100)]
        await asyncio.sleep(0)
        callers += [asyncio.create_task(batcher.submit(item, later())) for item in range(3, 30)]
        await asyncio.sleep(0)
        device.gate.set()
        await asyncio.gather(first, *callers)
        assert device.runs[:3] == [[1], [2, 3], [100]]


async def test_costly_items_make_smaller_batches() -> None:
    device = ScriptedDevice()
    settings: dict[str, Any] = {
        "group": lambda item: item >= 100,
        "cost": lambda item: 2.25 if item >= 100 else 1.0,
    }
    async with serving(device, max_batch=8, **settings) as batcher:
        await outcomes(batcher, [*range(100, 107), *range(9)])
        assert device.sizes == [3, 3, 1, 8, 1]


async def test_an_item_dearer_than_the_cap_goes_alone() -> None:
    device = ScriptedDevice()
    async with serving(device, max_batch=2, cost=lambda _: 5.0) as batcher:
        assert await outcomes(batcher, range(3)) == [0, 10, 20]
        assert device.sizes == [1, 1, 1]


async def test_memory_that_ends_under_costly_items_is_remembered_at_their_cost() -> None:
    device = ScriptedDevice(fits=2)
    settings: dict[str, Any] = {
        "group": lambda item: item >= 100,
        "cost": lambda item: 2.0 if item >= 100 else 1.0,
    }
    async with serving(device, max_batch=8, **settings) as batcher:
        await outcomes(batcher, range(100, 104))
        assert device.sizes == [4, 2, 2]
        assert batcher.cap == 4


async def test_an_idle_device_waits_for_nobody() -> None:
    async with serving(ScriptedDevice(), max_wait=60.0) as batcher:
        async with asyncio.timeout(2):
            assert await batcher.submit(4, later()) == 40


async def test_a_busy_device_waits_for_company_but_not_for_long() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, streams=2, max_batch=2, max_wait=0.4) as batcher:
        first = asyncio.create_task(batcher.submit(1, later()))
        await device.busy(1)
        lone = asyncio.create_task(batcher.submit(2, later()))
        await asyncio.sleep(0.03)
        assert device.runs == [[1]], "the second stream still waits for company"
        await device.busy(2)
        assert device.runs == [[1], [2]], "and goes without it after max_wait"
        device.gate.set()
        assert [await first, await lone] == [10, 20]


async def test_a_full_batch_does_not_wait() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, streams=2, max_batch=2, max_wait=60.0) as batcher:
        first = asyncio.create_task(batcher.submit(1, later()))
        await device.busy(1)
        second = asyncio.create_task(batcher.submit(2, later()))
        await asyncio.sleep(0.01)
        third = asyncio.create_task(batcher.submit(3, later()))
        await device.busy(2)
        assert device.runs == [[1], [2, 3]]
        device.gate.set()
        assert [await first, await second, await third] == [10, 20, 30]


async def test_one_picture_per_stream() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, streams=2, max_batch=1) as batcher:
        callers = asyncio.create_task(outcomes(batcher, range(5)))
        await device.busy(2)
        assert (batcher.running, batcher.waiting) == (2, 3)
        device.gate.set()
        assert await callers == [0, 10, 20, 30, 40]
        assert device.sizes == [1] * 5


@pytest.mark.parametrize("position", range(8))
@pytest.mark.parametrize("fault", ["raises", "gives one result too few"])
async def test_a_poison_item_fails_alone(fault: str, position: int) -> None:
    device = ScriptedDevice()
    (device.poison if fault == "raises" else device.short).add(position)
    async with serving(device) as batcher:
        results = kinds(await outcomes(batcher, range(8)))
        assert results == [InferenceFailed if item == position else item * 10 for item in range(8)]
        assert len(device.runs) - 1 <= 2 * math.log2(8)


async def test_many_poison_items_fail_alone_too() -> None:
    device = ScriptedDevice(poison={0, 3, 7})
    async with serving(device) as batcher:
        results = kinds(await outcomes(batcher, range(8)))
        assert [item for item, result in enumerate(results) if result is InferenceFailed] == [0, 3, 7]
        assert len(device.runs) <= 2 * 8 - 1


async def test_nan_costs_no_run_more() -> None:
    device = ScriptedDevice(nan={5})
    async with serving(device) as batcher:
        results = kinds(await outcomes(batcher, range(8)))
        assert results == [InferenceFailed if item == 5 else item * 10 for item in range(8)]
        assert device.sizes == [8]
        assert batcher.last_error == "NaN"


async def test_out_of_memory_halves_remembers_and_tries_again() -> None:
    clock = FakeClock()
    device = ScriptedDevice(fits=2)
    async with serving(device, clock=clock, oom_hold=600) as batcher:
        assert await outcomes(batcher, range(8)) == [item * 10 for item in range(8)]
        assert device.sizes == [8, 4, 2, 2, 2, 2]
        assert batcher.cap == 2

        device.runs.clear()
        clock.now += 599
        await outcomes(batcher, range(8))
        assert device.sizes == [2, 2, 2, 2], "the smaller cap is remembered"

        device.runs.clear()
        clock.now += 2
        assert await outcomes(batcher, range(4)) == [0, 10, 20, 30]
        assert device.sizes == [4, 2, 2], "tried, and taken back"
        assert batcher.cap == 2

        device.fits = 8
        for cap in (4, 8, 8):
            clock.now += 601
            await outcomes(batcher, range(8))
            assert batcher.cap == cap


async def test_out_of_memory_for_one_item_is_no_storm() -> None:
    device = ScriptedDevice(fits=0)
    async with serving(device) as batcher:
        assert kinds(await outcomes(batcher, [1])) == [OutOfMemory]
        assert device.sizes == [1]


async def test_a_lost_device_fails_everybody_once() -> None:
    device = ScriptedDevice(sticky={2})
    lost: list[DeviceLost] = []
    async with serving(device, alive=False, max_batch=4, on_lost=lost.append) as batcher:
        assert kinds(await outcomes(batcher, range(8))) == [DeviceLost] * 8
        assert device.sizes == [4], "no bisection, and the queue never reaches the device"
        with pytest.raises(DeviceLost, match="device-side assert"):
            await batcher.submit(1, later())
        assert [str(error) for error in lost] == [STICKY]


@pytest.mark.parametrize(
    ("jitter", "retry_after"),
    [pytest.param(0.8, 2, id="early"), pytest.param(1.0, 2, id="on time"), pytest.param(1.2, 3, id="late")],
)
async def test_a_full_queue_refuses_at_once(jitter: float, retry_after: int) -> None:
    device = ScriptedDevice()
    async with serving(
        device, max_batch=1, max_queue=2, jitter=lambda: jitter, clock=device.clock
    ) as batcher:
        await batcher.submit(9, later())  # at one picture per second
        device.gate.clear()
        first = asyncio.create_task(outcomes(batcher, [0]))
        await device.busy(2)
        others = asyncio.create_task(outcomes(batcher, [1, 2, 3, 4, 5]))
        await asyncio.sleep(0.01)
        assert batcher.waiting == 2
        with pytest.raises(Overloaded) as refused:
            batcher.check_open()
        assert refused.value.retry_after == retry_after
        device.gate.set()
        assert kinds([*await first, *await others]) == [0, 10, 20, Overloaded, Overloaded, Overloaded]


async def test_late_callers_never_reach_the_device() -> None:
    clock = FakeClock()
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, max_batch=1) as batcher:
        first = asyncio.create_task(batcher.submit(1, later()))
        await device.busy()
        late = asyncio.create_task(batcher.submit(2, Deadline.after(5, clock)))
        fine = asyncio.create_task(batcher.submit(3, later()))
        await asyncio.sleep(0)
        clock.now += 6
        device.gate.set()
        assert kinds(await asyncio.gather(first, late, fine, return_exceptions=True)) == [
            10,
            DeadlineExceeded,
            30,
        ]
        assert device.runs == [[1], [3]]
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(4, Deadline.after(0))


async def test_a_caller_in_the_queue_is_told_the_moment_it_is_late() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, max_batch=1) as batcher:
        first = asyncio.create_task(batcher.submit(1, later()))
        await device.busy()
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(2, later(0.05))
        assert batcher.waiting == 0
        device.gate.set()
        assert await first == 10
        assert device.runs == [[1]]


@pytest.mark.parametrize("leaves", ["cancelled", "late"])
async def test_a_caller_who_leaves_during_the_run(leaves: str) -> None:
    """Its result is dropped; its place on the device is free only when the device has ended."""
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device) as batcher:
        stays = asyncio.create_task(batcher.submit(1, later()))
        goes = asyncio.create_task(batcher.submit(2, later(0.05 if leaves == "late" else 10)))
        await device.busy()
        if leaves == "cancelled":
            goes.cancel()
        result = await asyncio.gather(goes, return_exceptions=True)
        assert kinds(result) == [asyncio.CancelledError if leaves == "cancelled" else DeadlineExceeded]
        assert batcher.running == 2
        device.gate.set()
        assert await stays == 10


async def test_a_caller_who_leaves_the_queue_costs_nothing() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, max_batch=1) as batcher:
        first = asyncio.create_task(batcher.submit(1, later()))
        await device.busy()
        gone = asyncio.create_task(batcher.submit(2, later()))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert batcher.waiting == 0
        device.gate.set()
        assert await first == 10
        assert device.runs == [[1]]


async def test_a_caller_who_leaves_a_failed_batch_is_not_run_again() -> None:
    device = ScriptedDevice(poison={1})
    device.gate.clear()
    async with serving(device) as batcher:
        poison, gone, fine = (asyncio.create_task(batcher.submit(item, later())) for item in (1, 2, 3))
        await device.busy()
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        device.gate.set()
        assert kinds(await asyncio.gather(poison, fine, return_exceptions=True)) == [InferenceFailed, 30]
        assert not any(2 in items for items in device.runs[1:])


async def test_drain_finishes_what_was_accepted() -> None:
    device = ScriptedDevice()
    device.gate.clear()
    async with serving(device, alive=False, max_batch=2) as batcher:
        callers = asyncio.create_task(outcomes(batcher, range(5)))
        await device.busy()
        drained = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0)
        with pytest.raises(Draining):
            await batcher.submit(9, later())
        assert not drained.done()
        device.gate.set()
        await drained
        assert await callers == [0, 10, 20, 30, 40]


async def test_a_hundred_callers_come_and_go() -> None:
    device = ScriptedDevice(poison={7, 50}, nan={20})
    async with serving(device, max_batch=4, streams=2, max_queue=100) as batcher:
        callers = [asyncio.create_task(batcher.submit(item, later())) for item in range(100)]
        await asyncio.sleep(0)
        for caller in callers[::9]:
            caller.cancel()
        results = kinds(await asyncio.gather(*callers, return_exceptions=True))
        failed = {7, 20, 50}
        expected: Callable[[int], object] = lambda item: (  # noqa: E731
            asyncio.CancelledError if item % 9 == 0 else InferenceFailed if item in failed else item * 10
        )
        assert results == [expected(item) for item in range(100)]
