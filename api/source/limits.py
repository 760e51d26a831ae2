"""What an image may be: settings, apart from the decoder, whose processes do without their library."""

import importlib.util
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["DecodeLimits", "SourceFormat"]

SourceFormat = Literal["JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "HEIF", "TIFF"]


class DecodeLimits(BaseModel):
    """What an image may be, wherever it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: tuple[SourceFormat, ...] = Field(
        ("JPEG", "PNG", "WEBP"),
        min_length=1,
        description="Formats read. Besides the default there are AVIF, BMP, GIF (first frame), TIFF, and "
        "HEIF with the extra `objectcut[heif]`.",
    )
    max_bytes: int = Field(25_000_000, gt=0, le=1_000_000_000, description="Largest file, bytes.")
    max_pixels: int = Field(25_000_000, gt=0, le=400_000_000, description="Most pixels: width x height.")
    max_side: int = Field(16_384, gt=0, le=65_535, description="Longest side, px.")

    @model_validator(mode="after")
    def _plugins_are_here(self) -> Self:
        if "HEIF" in self.formats and importlib.util.find_spec("pillow_heif") is None:
            raise ValueError("HEIF needs a package more: pip install 'objectcut[heif]'")
        return self
