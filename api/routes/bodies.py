"""What travels over /v1: the request's fields, the answer's facts as JSON and as headers."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Self, TypeAlias

from pydantic import BaseModel, Field

from api.errors import InvalidOptions
from api.options import CutoutOptions, Format
from api.types import Link

FORMATS: dict[str, Format] = {
    "image/png": "png",
    "image/webp": "webp",
    "image/jpeg": "jpeg",
    "image/avif": "avif",
    "application/zip": "zip",
}
"""Media types of answers, by which `Accept` may name a format."""


# Told as such in the document; judged where they are used.
Url: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "uri"})]
Base64: TypeAlias = Annotated[str, Field(json_schema_extra={"format": "byte"})]


class CutoutRequest(CutoutOptions):
    """The options of a cutout, and where its picture comes from when it is not a file."""

    image_url: Url | None = Field(None, max_length=8192, description="The picture's http(s) URL.")
    image_base64: Base64 | None = Field(
        None, description="The picture in base64; a `data:` prefix is allowed.", repr=False
    )
    background_image_url: Url | None = Field(
        None, max_length=8192, description="URL of a picture to put behind the subject."
    )

    expires_in: int | None = Field(
        None,
        ge=60,
        description="Seconds that the result is kept, at most as long as others are (the default).",
    )
    store: bool = Field(
        True, description="false: nothing is kept. Only for answers in bytes, of which nothing ever is."
    )

    def options(self) -> CutoutOptions:
        """The options alone: nothing that outlives the parsing holds on to the base64 text."""
        return CutoutOptions.model_construct(
            **{name: getattr(self, name) for name in CutoutOptions.model_fields}
        )


class BoundingBox(BaseModel):
    """The subject in the original picture, px."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """From `left,top,width,height`; nothing from an empty text."""
        return cls(**dict(zip(cls.model_fields, map(int, text.split(",")), strict=True))) if text else None


class Cutout(BaseModel):
    """A stored cutout."""

    id: str = Field(description="Its name in GET and DELETE /v1/cutouts/{id}.")
    url: str = Field(description="The bytes, for anybody who has this link.")
    expires_at: datetime | None = Field(description="When the link ends; null: with the object.")
    width: int = Field(description="px")
    height: int = Field(description="px")
    format: Format
    media_type: str
    size: int = Field(description="bytes")
    model: str
    bounding_box: BoundingBox | None = Field(description="null: no subject was found.")
    timings_ms: dict[str, float] | None = Field(description="By stage; null in later answers.")

    @classmethod
    def of(
        cls,
        id: str,
        link: Link,
        media_type: str,
        size: int,
        facts: Mapping[str, str],
        timings: Mapping[str, float] | None = None,
    ) -> Self:
        """From a link and the facts of api.pipeline.Outcome.facts. timings: ms."""
        return cls(
            id=id,
            url=link.url,
            expires_at=link.expires_at,
            width=int(facts["width"]),
            height=int(facts["height"]),
            format=FORMATS[media_type],
            media_type=media_type,
            size=size,
            model=facts["model"],
            bounding_box=BoundingBox.parse(facts["bounding_box"]),
            timings_ms={stage: round(ms, 1) for stage, ms in timings.items()} if timings else None,
        )


class ModelInfo(BaseModel):
    """A network."""

    name: str = Field(description="A value of `model`.")
    available: bool = Field(description="Whether a request may name it now.")
    description: str
    input_width: int = Field(description="What pictures are resized to for the network, px.")
    input_height: int
    resolutions: tuple[int, int] | None = Field(
        None, description="Smallest and largest `resolution`, px, multiples of 32; null: its own size only."
    )
    licence: str = Field(description="SPDX identifier of code and weights.")
    paper: str


class Models(BaseModel):
    """Every network that this version knows."""

    models: list[ModelInfo]


class ModelLicence(BaseModel):
    """Whose work a network is, and under which terms."""

    name: str
    licence: str = Field(description="SPDX identifier of code and weights.")
    paper: str
    source: str = Field(description="Where its weights come from.")


class Licences(BaseModel):
    """The licences of every network that this version knows."""

    models: list[ModelLicence]


def check_model(name: str, names: Collection[str]) -> None:
    """Before anything is fetched or decoded for it. Raises InvalidOptions."""
    if name not in names:
        raise InvalidOptions(public=f"model: must be one of {', '.join(names)}")


def fact_headers(facts: Mapping[str, str], timings: Mapping[str, float]) -> dict[str, str]:
    """The same facts beside bytes: `X-Cutout-Width`, …, and the timings as `Server-Timing` (ms)."""
    headers = {f"X-Cutout-{name.replace('_', '-').title()}": text for name, text in facts.items() if text}
    headers["Server-Timing"] = ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in timings.items())
    return headers


def wanted_bytes(accept: str) -> tuple[bool, Format | None]:
    """Whether an Accept header asks for bytes rather than JSON, and for which format if it names one.

    The entry of the highest quality that is one of ours decides, the first of equals; by default JSON.
    """
    best = 0.0
    answer: tuple[bool, Format | None] = (False, None)
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = _quality(parameters)
        ours = kind in FORMATS or kind in ("image/*", "application/json", "application/*", "*/*")
        if ours and quality > best:
            best = quality
            answer = (kind in FORMATS or kind == "image/*", FORMATS.get(kind))
    return answer


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
