"""Server-sent events, as the HTML standard has them, a piece at a time."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_BREAK = re.compile(rb"\r\n|\n|\r")
"""And no other character that Unicode takes for the end of a line: in JSON they may stand as they are."""


@dataclass(frozen=True, slots=True)
class Event:
    """name: of the event. data: its lines, joined."""

    name: str
    data: str


@dataclass(slots=True)
class EventParser:
    """last_id: of the last event that had one, for `Last-Event-ID` of the next connection."""

    last_id: str | None = None
    _name: str = ""
    _data: list[str] = field(default_factory=list)
    _rest: bytes = b""
    _after_cr: bool = False

    def feed(self, part: bytes) -> Iterator[Event]:
        """The events that a piece of the stream ends; it may be cut anywhere, also within a character."""
        if self._after_cr:
            part = part.removeprefix(b"\n")  # the other half of one break
        self._after_cr = part.endswith(b"\r")
        *lines, self._rest = _BREAK.split(self._rest + part)
        for line in lines:
            if event := self._event(line.decode(errors="replace")):
                yield event

    def reset(self) -> None:
        """Forgets an event that was cut off."""
        self._name = ""
        self._data = []
        self._rest = b""
        self._after_cr = False

    def _event(self, line: str) -> Event | None:
        """The event that an empty line ends, if there is one."""
        if not line:
            event = Event(self._name or "message", "\n".join(self._data)) if self._data else None
            self._name, self._data = "", []
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        return None
