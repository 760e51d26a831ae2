"""A job's changes as server-sent events."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from api.jobs.changes import Changes
from api.jobs.records import JobRecord
from api.jobs.views import Views
from api.sse import COMMENT, HEARTBEAT_SECONDS, event, wait

Find = Callable[[], Awaitable[JobRecord | None]]


async def events(
    first: JobRecord,
    find: Find,
    *,
    changes: Changes,
    views: Views,
    after: int,
    ending: Callable[[], bool],
    heartbeat: float = HEARTBEAT_SECONDS,
) -> AsyncIterator[bytes]:
    """`progress` for every item that has changed since event `after`, and at the end `done`.

    Numbers are the job's own and outlive the process: whoever was cut off names the last one and misses
    nothing. Of several changes of one item only the last is told. find: the job as it is now; None: it is
    no more. ending: whether the process is about to stop.
    """
    with changes.watching(first.id) as changed:
        yield COMMENT  # so that the client knows that it is connected
        told = time.monotonic()
        record: JobRecord | None = first
        while record is not None:
            for item in sorted(record.items, key=lambda item: item.changed):
                if item.changed > after:
                    after = item.changed
                    yield event("progress", after, views.progress(record, item).model_dump_json())
                    told = time.monotonic()
            if record.finished_at is not None:
                yield event("done", record.sequence, views.job(record).model_dump_json())
                return
            if ending():
                return
            await wait(changed)
            if time.monotonic() - told >= heartbeat:
                yield COMMENT
                told = time.monotonic()
            record = await find()
