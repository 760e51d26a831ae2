"""Which file holds a model's parameters, and what it must be. Readable without torch.

In a directory of imported models `models.lock`, JSON, says `{NAME: {"sha256": hex, "size": bytes, "revision":
commit of a hub}}`, the last for what was pulled. No message here tells a path: ModelUnavailable's text is
public.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from model.errors import ModelUnavailable
from model.registry import ModelSpec

__all__ = [
    "LOCK",
    "SHIPPED",
    "WORKING_MEMORY",
    "Pin",
    "estimated_memory",
    "find",
    "pinned",
    "read_lock",
    "verified",
]

SHIPPED = Path(__file__).parent / "shipped"
"""The weights that come with the package."""

LOCK = "models.lock"

WORKING_MEMORY = 10
"""Where memory cannot be measured: a model's at work, in multiples of its parameters'. On a CPU it is 3 for
BASNet, 7 for lite and 10 for BiRefNet on Swin-T at 1024 px."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What a file of weights must be. sha256: lower-case hex. size: bytes. revision: where it was pulled."""

    sha256: str
    size: int
    revision: str | None = None


def find(spec: ModelSpec, directory: Path) -> Path:
    """The file of weights: of a shipped model the one that was imported, if there is one, before its own.

    Raises ModelUnavailable, with the command that brings them, when there is none.
    """
    shipped = spec.weights.shipped and spec.name not in read_lock(directory)
    folder = SHIPPED if shipped else directory
    for name in (spec.weights.file, f"{spec.name}.pth"):
        if (folder / name).is_file():
            return folder / name
    if shipped:
        raise ModelUnavailable(f"model '{spec.name}' is incomplete in this installation: install it again")
    raise ModelUnavailable(f"model '{spec.name}' has no weights here: {spec.bring}")


def pinned(spec: ModelSpec, directory: Path) -> Pin | None:
    """What the file in `directory` must be: what was recorded there, else what the registry knows.

    Raises ModelUnavailable when the record is damaged.
    """
    published = spec.weights
    known = None
    if published.sha256 and published.size:
        known = Pin(published.sha256, published.size, published.revision)
    return read_lock(directory).get(spec.name, known)


def verified(spec: ModelSpec, data: bytes, pin: Pin | None) -> str:
    """The sha256 of the data, which must be the pin's. Raises ModelUnavailable, with both."""
    actual = hashlib.sha256(data).hexdigest()
    if pin and len(data) != pin.size:
        raise ModelUnavailable(
            f"the weights of model '{spec.name}' are damaged: {len(data)} bytes, expected {pin.size}"
        )
    if pin and actual != pin.sha256:
        raise ModelUnavailable(
            f"the weights of model '{spec.name}' are damaged: sha256 {actual}, expected {pin.sha256}"
        )
    return actual


def read_lock(directory: Path) -> dict[str, Pin]:
    """What was recorded in `directory`. Raises ModelUnavailable when it is damaged."""
    path = directory / LOCK
    if not path.is_file():
        return {}
    try:
        return {name: Pin(**entry) for name, entry in json.loads(path.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as exc:
        raise ModelUnavailable(f"{LOCK} is damaged: delete it and import the weights again") from exc


def estimated_memory(spec: ModelSpec, directory: Path) -> int:
    """Bytes that the model will take, told by its file. Raises ModelUnavailable when there is none."""
    return WORKING_MEMORY * find(spec, directory).stat().st_size
