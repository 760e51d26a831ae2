"""POST /remove and GET /stillalive: OBJECT CUT's own contract, to the letter.

Form fields in, HTTP 200 out, whatever happened: failures are told by `error_id`. Only a value outside of an
enumeration is a 400, with the four members of problem+json that the original's framework wrote.
"""

import base64
import json
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import errors
from api.finishing import Canvas, compose
from api.limits import Gate, while_connected
from api.logs import without_secrets
from api.middleware import exchange_of
from api.openapi import exactly_one_of
from api.options import CutoutOptions
from api.pipeline import Job, Outcome, Pipeline
from api.problems import MEDIA_TYPE, as_problem
from api.types import Picture
from api.uploads import read_upload
from model.deadline import Deadline
from postprocess.types import Alpha

MESSAGES = {
    "001": "An unspecified error has occurred during request processing.",
    "002": "Image is not reachable or the URL is invalid.",
    "003": "Invalid URL or required parameters not specified.",
}
CHOICES: dict[str, tuple[str, str]] = {
    "output_format": ("url", "base64"),
    "to_remove": ("background", "foreground"),
    "color_removal": ("transparent", "white"),
}
"""The enumerations; the first value of each is its default."""
PATH = "/remove"
KEY_HEADER = "x-secret-access"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
UNREADABLE = (errors.UnsupportedImage, errors.CorruptImage, errors.ImageTooLarge)


class OutsideEnumeration(errors.InvalidOptions):
    """A value that the original's framework refused before its handler ran."""


def routes(pipeline: Pipeline, gate: Gate) -> APIRouter:
    """The router of the original service."""
    router = APIRouter(tags=["OBJECT CUT"])

    @router.post(PATH, openapi_extra={"requestBody": _BODY}, responses=_ANSWERS)
    async def remove(request: Request) -> Response:
        """Removes the background, as OBJECT CUT did. New clients are better served by /v1/cutouts."""
        exchange = exchange_of(request)
        correlation_id = str(uuid.uuid4())
        exchange.fields["correlation_id"] = correlation_id
        job = None
        try:
            visit = await gate.admit(request, header=KEY_HEADER)
            job = _job(await _form(request, gate, visit.deadline), visit.caller.id)
            if isinstance(job.source, str):
                exchange.fields["source"] = without_secrets(job.source)
            async with gate.accounts.paying(visit.caller):
                work = pipeline.remove_background(job, visit.deadline, spend=visit.spend)
                outcome = await while_connected(request, work)
        except errors.ClientGone:
            raise
        except Exception as exc:
            exchange.error = as_problem(exc)
            if isinstance(exchange.error, OutsideEnumeration):
                return _bad_request(exchange.error.public)
            return _failure(correlation_id, _error_id(exchange.error, job))
        return _success(correlation_id, outcome)

    @router.get("/stillalive", responses=_ALIVE)
    async def stillalive() -> Response:
        """What the original's load balancer asked."""
        return _json({"message": "API is hella working!"})

    return router


async def _form(request: Request, gate: Gate, deadline: Deadline) -> Mapping[str, object]:
    if not request.headers.get("content-type", "").lower().startswith(FORMS):
        return {}
    return (await read_upload(request, gate.limits, deadline)).fields


def _job(form: Mapping[str, object], owner: str) -> Job:
    """Raises OutsideEnumeration, InvalidOptions. Unknown fields are passed over, as they were."""
    chosen = {name: form.get(name, allowed[0]) for name, allowed in CHOICES.items()}
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            raise OutsideEnumeration(public=f"{value!r} is not one of {list(CHOICES[name])!r} - '{name}'")
    url, text = form.get("image_url"), form.get("image_base64")
    if (url is None) == (text is None):
        raise errors.InvalidOptions(public="exactly one of image_url and image_base64 is wanted")
    options = CutoutOptions.model_validate(
        {
            "to_remove": chosen["to_remove"],
            "background": "white" if chosen["color_removal"] == "white" else None,
            "format": "png",
        }
    )
    source = str(url) if url is not None else _lenient_base64(str(text))
    return Job(source, options, store=chosen["output_format"] == "url", owner=owner, compose=_composed)


def _composed(picture: Picture, subject: Alpha, behind: Picture | None, wish: CutoutOptions) -> Canvas:
    """What is transparent is white, as it was: there are clients that drop the alpha."""
    canvas = compose(picture, subject, behind, wish)
    if canvas.pixels.ndim == 3 and canvas.pixels.shape[2] == 4:
        canvas.pixels[canvas.pixels[..., 3] == 0, :3] = 255
    return canvas


def _lenient_base64(text: str) -> bytes:
    """Whatever of the text is base64; nothing when it cannot be, which then is no image."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text)
    except ValueError:
        return b""


def _error_id(error: errors.ObjectCutError, job: Job | None) -> str:
    if job is None:  # the request was refused before there was anything to do
        return "003" if isinstance(error, errors.Unauthorized | errors.InvalidOptions) else "001"
    from_url = isinstance(job.source, str)
    # What a URL led to was judged only later by the original, and then as an unspecified error.
    if isinstance(error, errors.SourceError | errors.InvalidOptions if from_url else UNREADABLE):
        return "002"
    return "001"


def _success(correlation_id: str, outcome: Outcome) -> Response:
    if outcome.link is not None:
        image = {"image_url": outcome.link.url}
    else:
        image = {"image_base64": base64.b64encode(outcome.encoded.body).decode()}
    return _json({"correlation_id": correlation_id, "error": False, "response": image})


def _failure(correlation_id: str, error_id: str) -> Response:
    return _json(
        {
            "correlation_id": correlation_id,
            "error": True,
            "error_id": error_id,
            "message": MESSAGES[error_id],
        }
    )


def _bad_request(detail: str) -> Response:
    body = {"detail": detail, "status": 400, "title": "Bad Request", "type": "about:blank"}
    return Response(json.dumps(body), 400, media_type=MEDIA_TYPE)


def _json(body: Mapping[str, object]) -> Response:
    return Response(json.dumps(body), media_type="application/json", headers={"Cache-Control": "no-store"})


_FIELDS: dict[str, Any] = {
    "image_url": {"type": "string", "format": "uri", "description": "The picture's URL."},
    "image_base64": {"type": "string", "format": "byte", "description": "The picture in base64."},
} | {name: {"type": "string", "enum": allowed, "default": allowed[0]} for name, allowed in CHOICES.items()}
_FORM = {"type": "object", "properties": _FIELDS} | exactly_one_of("image_url", "image_base64")
_BODY = {"content": {kind: {"schema": _FORM} for kind in FORMS}}
_RESULT = {
    "type": "object",
    "required": ["correlation_id", "error"],
    "properties": {
        "correlation_id": {"type": "string", "format": "uuid"},
        "error": {"type": "boolean"},
        "error_id": {"type": "string", "enum": list(MESSAGES)},
        "message": {"type": "string", "enum": list(MESSAGES.values())},
        "response": {
            "type": "object",
            "properties": {"image_url": {"type": "string"}, "image_base64": {"type": "string"}},
        },
    },
}
_ALIVE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["message"],
                    "properties": {"message": {"type": "string"}},
                }
            }
        }
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The result, or `error: true`.",
        "content": {"application/json": {"schema": _RESULT}},
    },
    400: {
        "description": "A value outside of its enumeration.",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "detail": {"type": "string"},
                        "status": {"type": "integer"},
                        "title": {"type": "string"},
                        "type": {"type": "string"},
                    },
                }
            }
        },
    },
}
