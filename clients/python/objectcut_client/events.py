"""Server-sent events, as the HTML standard has them, a line at a time."""

from dataclasses import dataclass, field


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

    def feed(self, line: str) -> Event | None:
        """The event that an empty line ends, if there is one. line: without its line break."""
        if not line:
            event = Event(self._name or "message", "\n".join(self._data)) if self._data else None
            self.reset()
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

    def reset(self) -> None:
        """Forgets an event that was cut off."""
        self._name = ""
        self._data = []
