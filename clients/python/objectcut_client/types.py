"""What travels: options to the service, facts from it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Literal, Self, TypeAlias, TypedDict

from objectcut_client.errors import ApiError, api_error

Image: TypeAlias = str | bytes | os.PathLike[str] | BinaryIO
"""A picture: its bytes, a file open for reading them, a path, or (text that begins with http) its URL."""
Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Options(TypedDict, total=False):
    """The options of a cutout; docs/API.md of the service describes them and their defaults."""

    model: str
    resolution: int
    output: Literal["cutout", "alpha", "mask", "foreground"]
    to_remove: Literal["background", "foreground"]
    edges: Literal["soft", "sharp", "objectcut"]
    sharp_sigma: float
    sharp_amount: float
    refine: bool
    decontaminate: bool
    morphology: list[Literal["open", "close", "erode", "dilate", "keep_largest", "fill_holes"]]
    radius: int
    source_alpha: Literal["multiply", "ignore"]
    background: str
    background_image_url: str
    blur: float
    crop: bool
    crop_margin: int
    format: Literal["png", "webp", "jpeg", "avif", "zip"]
    quality: int
    expires_in: int
    store: bool


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """The subject in the original picture, px."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Cutout:
    """A stored cutout. url: its bytes, for anybody who has it. size: bytes. width, height: px."""

    id: str
    url: str
    expires_at: datetime | None
    width: int
    height: int
    format: str
    media_type: str
    size: int
    model: str
    bounding_box: BoundingBox | None
    timings_ms: Mapping[str, float] | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From the JSON of POST and GET /v1/cutouts; members of later versions are passed over."""
        box = body["bounding_box"]
        facts = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(
            **facts
            | {"expires_at": _time(body["expires_at"]), "bounding_box": BoundingBox(**box) if box else None}
        )


@dataclass(frozen=True, slots=True)
class CutoutFile:
    """A cutout's bytes and facts, of which the service keeps nothing. width, height: px."""

    content: bytes
    media_type: str
    width: int
    height: int
    model: str
    bounding_box: BoundingBox | None

    @classmethod
    def parse(cls, content: bytes, headers: Mapping[str, str]) -> Self:
        """From an answer in bytes."""
        box = headers.get("x-cutout-bounding-box")
        return cls(
            content=content,
            media_type=headers["content-type"],
            width=int(headers["x-cutout-width"]),
            height=int(headers["x-cutout-height"]),
            model=headers["x-cutout-model"],
            bounding_box=BoundingBox(*map(int, box.split(","))) if box else None,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A network. Lengths are px. resolutions: smallest and largest, where it has a range."""

    name: str
    available: bool
    description: str
    input_width: int
    input_height: int
    resolutions: tuple[int, int] | None
    licence: str
    paper: str

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From a member of GET /v1/models."""
        facts = {name: body[name] for name in cls.__dataclass_fields__}
        return cls(**facts | {"resolutions": tuple(body["resolutions"]) if body["resolutions"] else None})


@dataclass(frozen=True, slots=True)
class Account:
    """Who the caller is to the service. None: without a limit."""

    id: str
    plan: str
    credits_left: float | None
    credits_per_cutout: float
    requests_left: int | None
    megapixels_per_minute: float | None
    in_flight: int | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From GET /v1/account."""
        return cls(
            id=body["id"],
            plan=body["plan"],
            credits_left=body["credits"] and body["credits"]["left"],
            credits_per_cutout=body["credits_per_cutout"],
            requests_left=body["rate"] and body["rate"]["remaining"],
            megapixels_per_minute=body["megapixels_per_minute"],
            in_flight=body["in_flight"],
        )


@dataclass(frozen=True, slots=True)
class JobItem:
    """One picture of a job. source: its URL, where it came from one."""

    index: int
    source: str | None
    status: Status
    cutout: Cutout | None
    error: ApiError | None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From a member of a job's `items`."""
        error = body["error"]
        return cls(
            index=body["index"],
            source=body["source"],
            status=body["status"],
            cutout=Cutout.parse(body["cutout"]) if body["cutout"] else None,
            error=api_error(error["status"], error) if error else None,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """Pictures worked on while nobody waits. items: in a report of progress, the one that changed."""

    id: str
    status: Status
    url: str
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    total: int
    succeeded: int
    failed: int
    items: tuple[JobItem, ...]

    @property
    def finished(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in ("queued", "running")

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From a job object; of an event of progress, with the item that changed."""
        items = body["items"] if "items" in body else [body["item"]] if body.get("item") else []
        facts = {name: body[name] for name in ("id", "status", "url", "total", "succeeded", "failed")}
        return cls(
            **facts,
            created_at=datetime.fromisoformat(body["created_at"]),
            finished_at=_time(body["finished_at"]),
            expires_at=_time(body["expires_at"]),
            items=tuple(map(JobItem.parse, items)),
        )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
