"""What the paste server is made of: who cuts, what the screen shows, where cutouts go."""

from dataclasses import dataclass
from typing import Protocol

from api.types import Deadline, Picture
from postprocess.types import RGB


class PasteFailed(Exception):
    """Something that the paste server relies on did not work; the text tells the phone's owner what."""


@dataclass(frozen=True, slots=True)
class Paste:
    """A cutout and where it goes.

    png: the cutout's file; picture: the same, decoded. x, y: its middle, px of the screen.
    screen: width, height of the screen, px.
    """

    png: bytes
    picture: Picture
    x: float
    y: float
    screen: tuple[int, int]


class Cutter(Protocol):
    """Cuts the subject out of a photo."""

    async def wake(self) -> None:
        """Returns when it can work. Raises PasteFailed."""
        ...

    async def cut(self, photo: bytes, deadline: Deadline) -> bytes:
        """A PNG with transparency, as large as the photo. Raises PasteFailed, ObjectCutError, ModelError."""
        ...


class Screen(Protocol):
    """What the screen shows."""

    def grab(self) -> RGB:
        """Blocks for a moment. Raises PasteFailed."""
        ...


class Target(Protocol):
    """A place where cutouts land."""

    async def paste(self, paste: Paste) -> str:
        """Where it went, for people. Raises PasteFailed."""
        ...
