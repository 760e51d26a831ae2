"""What makes two cutouts of the same bytes the same: options, the network's weights, the background."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

from api.options import CutoutOptions
from model.files import find
from model.registry import REGISTRY

__all__ = ["Recipe", "content_key", "model_digest"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """options: of the cutouts. model_sha256: of its file of weights. background: a picture's file."""

    options: CutoutOptions
    model_sha256: str
    background: bytes | None = None

    @property
    def facts(self) -> Mapping[str, object]:
        """All of it in JSON's types, for people."""
        return {
            "options": self.options.model_dump(mode="json"),
            "model_sha256": self.model_sha256,
            "background_sha256": sha256(self.background).hexdigest() if self.background else None,
        }

    @property
    def digest(self) -> str:
        """SHA-256, hex."""
        return sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()


def content_key(recipe: str, source: str) -> str:
    """The name by content of a cutout: of the digests of its recipe and of its source's bytes."""
    return sha256(f"{recipe}:{source}".encode()).hexdigest()


def model_digest(model: str, directory: Path) -> str:
    """SHA-256 of a model's weights on this machine. Raises ModelUnavailable, KeyError: no such model."""
    with open(find(REGISTRY[model], directory), "rb") as file:
        return file_digest(file, "sha256").hexdigest()
