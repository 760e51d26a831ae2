"""What the logic asks of the network: commands, which the two clients carry out each in its own way."""

import json
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from objectcut_client.errors import ApiError, ConnectionFailed, api_error
from objectcut_client.retries import Deadline, retry_after
from objectcut_client.types import Image

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request. url: a path of the service, or a whole URL elsewhere, which gets no key.

    json: the body; or fields and files: the body as a form.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    fields: Mapping[str, str] | None = None
    files: Mapping[str, bytes] | None = None

    def arguments(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """For httpx. headers: those of every request to the service."""
        own = "://" not in self.url
        arguments: dict[str, Any] = {"headers": {**(headers if own else {}), **self.headers}}
        if self.json is not None:
            arguments["json"] = self.json
        if self.files is not None:
            arguments["files"] = {name: (name, data) for name, data in self.files.items()}
            arguments["data"] = self.fields
        return arguments


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. headers: looked up whatever their case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it is a success. A redirect is none: it has nothing of what was asked for."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body. Raises ApiError: it is not what the service writes."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise api_error(self.status, {"title": "The answer is not JSON."}) from None

    def failure(self) -> ApiError:
        """The error that this answer is."""
        if 300 <= self.status < 400:
            where = self.headers.get("location", "nowhere")
            return api_error(self.status, {"title": f"The service redirects to {where}"})
        try:
            body = json.loads(self.content)
        except ValueError:  # a proxy's own page
            body = {}
        return api_error(self.status, body if isinstance(body, dict) else {}, retry_after(self.headers))


@dataclass(frozen=True, slots=True)
class Send:
    """Sends and gives the Answer. Thrown back: ConnectionFailed."""

    call: Call
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Listen:
    """Sends, and of a 200 hands each piece to `on_part` until that returns True or there are no more.

    silence: seconds without a byte after which the connection is taken for dead. Gives the Answer; thrown
    back: as Send.
    """

    call: Call
    deadline: Deadline
    silence: float
    on_part: Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Read:
    """Gives a picture's bytes."""

    image: Image

    def bytes(self) -> bytes:
        """Blocks while it reads a file. Raises OSError."""
        if isinstance(self.image, bytes):
            return self.image
        if isinstance(self.image, str | os.PathLike):
            return Path(self.image).read_bytes()
        return self.image.read()


Command: TypeAlias = Send | Listen | Pause | Read
Flow: TypeAlias = Generator[Command, Any, T]


@dataclass(slots=True)
class Outcome:
    """What became of a command: its result, or what is to be thrown."""

    result: Any = None
    error: ConnectionFailed | None = None


def advance(flow: Flow[Any], outcome: Outcome) -> Command:
    """The next command. Raises StopIteration, with the flow's value, at its end."""
    return flow.throw(outcome.error) if outcome.error else flow.send(outcome.result)
