"""What a request to /v1 asks for, whatever the shape of its body."""

import base64
import binascii
from typing import TypeVar

from pydantic import ValidationError

from api import problems
from api.errors import InvalidOptions
from api.routes.bodies import CutoutRequest
from api.uploads import Upload

W = TypeVar("W", bound=CutoutRequest)

REPEATABLE = frozenset({"morphology"})
FILES = frozenset({"image", "background_image"})


def read_wish(upload: Upload, kind: type[W], life: float) -> W:
    """The request's fields. life: how long results are kept at most, s. Raises InvalidOptions."""
    if unknown := upload.files.keys() - FILES:
        raise InvalidOptions(public=f"{min(unknown)[:40]}: not a file that is expected here")
    try:
        wish = kind.model_validate(upload.fields)
    except ValidationError as exc:
        raise problems.invalid(exc) from exc
    if wish.expires_in is not None and wish.expires_in > life:
        raise InvalidOptions(public=f"expires_in: results are kept for {life:.0f} seconds at most")
    return wish


def source_of(upload: Upload, wish: CutoutRequest) -> str | bytes:
    """The one picture: a URL, or bytes. Raises InvalidOptions."""
    given = (upload.files.get("image"), wish.image_url, wish.image_base64)
    sources = [source for source in given if source is not None]
    if len(sources) != 1:
        raise InvalidOptions(public="exactly one of image, image_url and image_base64 is wanted")
    return decode_base64(wish.image_base64) if wish.image_base64 is not None else sources[0]


def background_of(upload: Upload, wish: CutoutRequest) -> str | bytes | None:
    """The picture to put behind the subject. Raises InvalidOptions."""
    backgrounds = (upload.files.get("background_image"), wish.background_image_url, wish.background)
    if sum(given is not None for given in backgrounds) > 1:
        raise InvalidOptions(public="at most one of background, background_image and background_image_url")
    return backgrounds[0] or backgrounds[1]


def decode_base64(text: str) -> bytes:
    """Standard base64, with or without a `data:` prefix. Raises InvalidOptions."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidOptions(public="image_base64: not base64") from exc
