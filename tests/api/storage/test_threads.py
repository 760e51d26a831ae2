import asyncio
import contextvars
import threading

import pytest

from api.errors import DeadlineExceeded
from api.storage.threads import BoundedThreads
from api.types import Deadline


async def test_returns_and_raises_what_the_call_does() -> None:
    threads = BoundedThreads(1, "test")
    assert await threads.run(lambda: 7, deadline=Deadline.after(60), stage="adding") == 7
    with pytest.raises(TimeoutError, match="of the socket"):  # not to be taken for the deadline's
        await threads.run(fail, deadline=Deadline.after(60), stage="failing")
    await threads.close()


def fail() -> None:
    raise TimeoutError("of the socket")


async def test_place_is_free_only_when_the_abandoned_call_has_ended() -> None:
    threads, released = BoundedThreads(1, "test"), threading.Event()

    def hang() -> None:
        released.wait(60)
        raise OSError("nobody is left to read this")

    with pytest.raises(DeadlineExceeded, match="while hanging"):
        await threads.run(hang, deadline=Deadline.after(0.05), stage="hanging")
    with pytest.raises(DeadlineExceeded, match="waiting for the next"):
        await threads.run(lambda: 1, deadline=Deadline.after(0.05), stage="the next")
    released.set()
    assert await threads.run(lambda: 2, deadline=Deadline.after(60), stage="the last") == 2
    await threads.close()


async def test_cancelled_caller_leaves_at_once_and_its_place_comes_back() -> None:
    threads, began, released = BoundedThreads(1, "test"), threading.Event(), threading.Event()

    def hang() -> None:
        began.set()
        released.wait(60)

    task = asyncio.create_task(threads.run(hang, deadline=Deadline.after(60), stage="hanging"))
    await asyncio.to_thread(began.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not released.is_set()
    released.set()
    assert await threads.run(lambda: 1, deadline=Deadline.after(60), stage="the next") == 1
    await threads.close()


async def test_never_starts_after_the_deadline() -> None:
    threads, calls = BoundedThreads(1, "test"), list[int]()
    with pytest.raises(DeadlineExceeded, match="before appending"):
        await threads.run(lambda: calls.append(1), deadline=Deadline.after(0), stage="appending")
    await threads.close()
    assert calls == []


async def test_close_waits_for_calls_under_way() -> None:
    threads, done = BoundedThreads(1, "test"), threading.Event()

    def work() -> None:
        threading.Event().wait(0.1)
        done.set()

    task = asyncio.create_task(threads.run(work, deadline=Deadline.after(60), stage="working"))
    await asyncio.sleep(0.01)
    await threads.close()
    assert done.is_set()
    await task


async def test_context_travels_into_the_thread() -> None:
    request_id = contextvars.ContextVar[str]("request_id")
    request_id.set("abc")
    threads = BoundedThreads(1, "test")
    assert await threads.run(request_id.get, deadline=Deadline.after(60), stage="reading") == "abc"
    await threads.close()
