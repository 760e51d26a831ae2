"""A server that stops without a request noticing."""

import gc
import signal
import socket
import time
from types import FrameType
from typing import Protocol

import uvicorn

DEVICE_LOST = 70
"""Exit status that asks a supervisor for a fresh process (EX_SOFTWARE)."""


class Stoppable(Protocol):
    """What is served. draining: whether it was asked to stop. lost: why its device is gone for good."""

    draining: bool

    @property
    def lost(self) -> str | None:
        """None while all is well."""
        ...


class GracefulServer(uvicorn.Server):
    """SIGTERM: /readyz turns 503 at once, and only `drain_delay` seconds later no more connections are taken.

    By then whoever balances the load has noticed. SIGINT, from a terminal, does not wait. What is in flight
    is finished, and the exit status is 0. A second signal ends everything at once. A lost device ends it too.
    """

    def __init__(self, config: uvicorn.Config, service: Stoppable, drain_delay: float) -> None:
        super().__init__(config)
        self._service = service
        self._drain_delay = drain_delay
        self._stop_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Also takes what is there by now, a million objects, out of the garbage collector's sight.

        They last as long as the process, and to look at each of them in every full collection would let all
        requests wait for a seventh of a second.
        """
        await super().startup(sockets)
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Called by the signals; touches flags only, as it may interrupt anything."""
        if self._service.draining:
            self.should_exit = self.force_exit = True
        self._service.draining = True
        delay = 0.0 if sig == signal.SIGINT else self._drain_delay
        self._stop_at = time.monotonic() + delay

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to stop."""
        stop = await super().on_tick(counter)
        late = self._stop_at is not None and time.monotonic() >= self._stop_at
        return stop or late or self._service.lost is not None

    def run_until_stopped(self) -> int:
        """Serves until told to stop; the exit status."""
        self.run()
        return DEVICE_LOST if self._service.lost else 0
