"""Rooms: where a phone hands cutouts to the page that showed it a code. In this process's memory alone."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import count

from pydantic import BaseModel, ConfigDict, Field

from api.errors import NotFound, Overloaded, RateLimited
from api.sse import COMMENT, HEARTBEAT_SECONDS, event, wait

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that look alike
_CODE_LETTERS = 12
_LANDED = 4
"""Cutouts that a room holds for its page; then the oldest goes."""


class RoomsConfig(BaseModel):
    """What rooms may take, which are kept in this process's memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_once: int = Field(32, ge=1, le=10_000, description="Rooms at once; one more is answered 429.")
    per_caller: int = Field(8, ge=1, le=10_000, description="Rooms at once of one caller.")
    life: float = Field(900.0, gt=0, le=86_400, description="Seconds after which a room ends.")
    room_bytes: int = Field(
        16_000_000, gt=0, description="Cutouts and screen that one room holds; more is answered 429. bytes"
    )


class Landed(BaseModel):
    """A cutout that a phone has sent."""

    number: int = Field(description="Its name in GET /v1/rooms/{id}/cutouts/{number}.")
    x: float = Field(description="Where its middle belongs, share of the screen's width.")
    y: float = Field(description="The same of the height.")
    found: bool = Field(description="Whether that is where the phone pointed; false: it is the middle.")


@dataclass(eq=False)
class Room:
    """id: known to the page, which reads. code: known to the phone, which only sends.

    screen: the picture file of what the page's canvas shows. landed: with the PNG of each.
    """

    id: str
    code: str
    owner: str
    most_bytes: int
    screen: bytes = b""
    landed: dict[int, tuple[Landed, bytes]] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False
    _streams: int = 0
    _numbers: Callable[[], int] = field(default_factory=lambda: count(1).__next__)

    def show(self, screen: bytes) -> None:
        """Raises Overloaded: the room is full."""
        self._require(len(screen) + self._landed_bytes())
        self.screen = screen

    def land(self, png: bytes, x: float, y: float, *, found: bool) -> Landed:
        """Older ones make room for it. Raises Overloaded: it does not fit even alone. NotFound: too late."""
        if self.closed:
            raise NotFound("the room has ended")
        self._require(len(self.screen) + len(png))
        while self.landed and (
            len(self.landed) >= _LANDED
            or len(self.screen) + self._landed_bytes() + len(png) > self.most_bytes
        ):
            del self.landed[min(self.landed)]
        landed = Landed(number=self._numbers(), x=x, y=y, found=found)
        self.landed[landed.number] = (landed, png)
        self.changed.set()
        return landed

    def take(self, number: int) -> bytes:
        """Its PNG, until a later one is taken: the answer may be lost on its way. Raises NotFound."""
        if number not in self.landed:
            raise NotFound("no such cutout in this room")
        for earlier in [each for each in self.landed if each < number]:
            del self.landed[earlier]
        return self.landed[number][1]

    async def events(
        self, ending: Callable[[], bool], heartbeat: float = HEARTBEAT_SECONDS
    ) -> AsyncIterator[bytes]:
        """`landed` for each cutout, `closed` at the room's end. ending: whether the process is stopping.

        A room has one stream: a new one ends the one before.
        """
        self._streams += 1
        mine = self._streams
        self.changed.set()
        yield COMMENT
        told, clock = 0, asyncio.get_running_loop().time
        last = clock()
        while mine == self._streams and not (self.closed or ending()):
            for number, (landed, _) in list(self.landed.items()):
                if number > told:
                    told, last = number, clock()
                    yield event("landed", number, landed.model_dump_json())
            await wait(self.changed)
            if clock() - last >= heartbeat:
                last = clock()
                yield COMMENT
        if self.closed:
            yield event("closed", told + 1, "{}")

    def _landed_bytes(self) -> int:
        return sum(len(png) for _, png in self.landed.values())

    def _require(self, size: int) -> None:
        if size > self.most_bytes:
            raise Overloaded("the room is full")


class Rooms:
    """All rooms of this process."""

    def __init__(self, config: RoomsConfig) -> None:
        self.config = config
        self._rooms: dict[str, Room] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def open(self, owner: str) -> Room:
        """A new room, which ends by itself. Raises Overloaded, RateLimited."""
        if len(self._rooms) >= self.config.at_once:
            raise Overloaded(f"{len(self._rooms)} rooms are open")
        if sum(room.owner == owner for room in self._rooms.values()) >= self.config.per_caller:
            raise RateLimited(f"{owner}: too many rooms", public="Too many rooms at once.")
        code = "".join(secrets.choice(_LETTERS) for _ in range(_CODE_LETTERS))
        room = Room(secrets.token_urlsafe(24), code, owner, self.config.room_bytes)
        self._rooms[room.id] = room
        self._timers[room.id] = asyncio.get_running_loop().call_later(self.config.life, self.close, room)
        return room

    def find(self, id: str) -> Room:
        """For the page. Raises NotFound."""
        if id not in self._rooms:
            raise NotFound("no such room, or it has ended")
        return self._rooms[id]

    def enter(self, code: str) -> Room:
        """For the phone. Raises NotFound."""
        for room in self._rooms.values():
            if room.code == code:
                return room
        raise NotFound("no such room, or it has ended")

    def close(self, room: Room) -> None:
        """Ends it, and with it all that it held."""
        if self._rooms.pop(room.id, None):
            self._timers.pop(room.id).cancel()
        room.closed, room.screen = True, b""
        room.landed.clear()
        room.changed.set()

    def close_all(self) -> None:
        """At the end of the process."""
        for room in list(self._rooms.values()):
            self.close(room)
