"""Server-sent events: what a stream of them is made of."""

import asyncio

HEARTBEAT_SECONDS = 15.0
COMMENT = b":\n\n"
"""Says nothing; keeps a connection open, and tells the client that it has one."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_POLL_SECONDS = 1.0
"""After so long one looks anyway: another process may have made the change."""


def event(name: str, number: int, data: str) -> bytes:
    """data: JSON on one line."""
    return f"event: {name}\nid: {number}\ndata: {data}\n\n".encode()


async def wait(changed: asyncio.Event) -> None:
    """Until there is something new, but never for long."""
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await changed.wait()
    except TimeoutError:
        pass
    changed.clear()
