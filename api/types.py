"""The world that the pipeline lives in: what travels through it, and its three seams."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from model.deadline import Deadline
from postprocess.types import RGB, Alpha, Encoded

__all__ = [
    "Deadline",
    "Decoder",
    "Encoded",
    "Engine",
    "Fetcher",
    "Link",
    "Picture",
    "Spend",
    "Store",
    "StoredObject",
]

Spend = Callable[[float], Awaitable[None]]
"""Is told megapixels that will be worked on, and refuses by raising."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded source.

    rgb: (H, W, 3) uint8 sRGB, upright; colours under a transparent source pixel are as the file has them.
    alpha: (H, W) float32 in [0, 1], the source's own transparency; None when it has none.
    """

    rgb: RGB
    alpha: Alpha | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def megapixels(self) -> float:
        """Millions of pixels."""
        return self.rgb[..., 0].size / 1e6


@dataclass(frozen=True, slots=True)
class Link:
    """Where a stored object can be had, and until when (None: for as long as it is stored)."""

    url: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store knows of one object. facts: what was handed to `put`, unchanged."""

    link: Link
    media_type: str
    size: int
    facts: Mapping[str, str] = field(default_factory=dict)


class Fetcher(Protocol):
    """Brings the bytes behind a URL that a stranger chose."""

    async def fetch(self, url: str, *, deadline: Deadline) -> bytes:
        """Raises SourceError, InvalidOptions, DeadlineExceeded."""
        ...

    async def close(self) -> None:
        """Lets go of threads and connections."""
        ...


class Decoder(Protocol):
    """Makes a picture of bytes from a stranger."""

    async def start(self) -> None:
        """Makes ready what takes time."""
        ...

    async def decode(self, data: bytes, *, deadline: Deadline) -> Picture:
        """Raises UnsupportedImage, CorruptImage, ImageTooLarge, DeadlineExceeded."""
        ...

    async def close(self) -> None:
        """Ends processes and threads."""
        ...


class Engine(Protocol):
    """Finds the subject."""

    async def start(self) -> None:
        """Loads and warms; a model that fails is told by `status`. Raises ValueError: no such device."""
        ...

    async def close(self) -> None:
        """Answers what was accepted, takes nothing new."""
        ...

    @property
    def waiting(self) -> int:
        """Pictures in the queue."""
        ...

    def status(self) -> dict[str, Any]:
        """`{"ready": bool, "models": {name: facts}}`, JSON throughout."""
        ...

    def models(self) -> list[dict[str, Any]]:
        """What GET /v1/models says of each model: see api.routes.bodies.ModelInfo."""
        ...

    async def matte(
        self, rgb: RGB, *, model: str, resolution: int | None = None, deadline: Deadline
    ) -> Alpha:
        """The matte at the network's own resolution: (h, w) float32 in [0, 1], of the whole picture.

        resolution: px, side of the square that the network sees it in; None: the model's own size.
        Raises InvalidOptions: no such model, or a resolution that it does not take. Overloaded, Draining,
        DeadlineExceeded, InferenceFailed, OutOfMemory, ModelUnavailable.
        """
        ...


class Store(Protocol):
    """Keeps finished pictures. Keys are our own: hex digests with an extension, never a request's text."""

    async def put(
        self,
        key: str,
        item: Encoded,
        *,
        facts: Mapping[str, str],
        deadline: Deadline,
        life: float | None = None,
    ) -> Link:
        """Create-only: an existing key keeps its bytes and facts, gets a fresh life, and is success.

        life: seconds from now on, at most the store's own (which is the default); it never shortens a life.

        Raises StoreUnavailable, StoreFull, DeadlineExceeded.
        """
        ...

    async def find(self, key: str, *, deadline: Deadline) -> StoredObject:
        """Raises NotFound (also when expired), StoreUnavailable, DeadlineExceeded."""
        ...

    async def read(self, key: str, *, deadline: Deadline) -> tuple[bytes, str]:
        """Body and media type. Raises NotFound (also when expired or damaged), StoreUnavailable,
        DeadlineExceeded.
        """
        ...

    async def delete(self, key: str, *, deadline: Deadline) -> None:
        """Raises NotFound, StoreUnavailable, DeadlineExceeded."""
        ...

    async def close(self) -> None:
        """Lets go of connections and background work."""
        ...
