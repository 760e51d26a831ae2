"""/openapi.json, told truthfully: bodies that FastAPI does not parse, answers in bytes, every failure.

A route tells what it takes and gives, and which failures are peculiar to it (`failures`); those that follow
from its having a key, a body or a name in its path are added here. Contracts of others tell all of theirs.
"""

from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.errors import ClientGone
from api.options import CutoutOptions
from api.problems import MEDIA_TYPE, PASSING, Problem, kinds
from api.routes.bodies import FORMATS, CutoutRequest

_FILE = {"type": "string", "format": "binary"}


def exactly_one_of(*names: str) -> dict[str, Any]:
    """What an object's schema says of members that exclude one another, one of which must be there."""
    return {"oneOf": [{"required": [name]} for name in names]}


_SCHEMA = CutoutRequest.model_json_schema() | exactly_one_of("image_url", "image_base64")
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": _SCHEMA["properties"]
    | {
        "image": _FILE | {"description": "The picture."},
        "background_image": _FILE | {"description": "A picture to put behind the subject."},
    },
    "additionalProperties": False,
} | exactly_one_of("image", "image_url", "image_base64")
_FACTS = {
    "X-Cutout-Width": "px",
    "X-Cutout-Height": "px",
    "X-Cutout-Model": "The network that found the subject.",
    "X-Cutout-Bounding-Box": "left,top,width,height of the subject in the original, px; absent without one.",
    "Server-Timing": "Each stage's share, ms.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}
_IMAGES: dict[str, Any] = {media_type: {"schema": _FILE} for media_type in FORMATS}

_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "The same key with the same request gets the first answer again, for a day.",
}
JOB_FIELDS: dict[str, Any] = {
    "image_urls": {
        "type": "array",
        "items": {"type": "string", "maxLength": 8192},
        "minItems": 1,
        "maxItems": 100,
        "description": "URLs of pictures, in place of the one picture.",
    },
    "webhook_url": {
        "type": "string",
        "maxLength": 8192,
        "description": "http(s) URL that is told when the job has finished.",
    },
}

BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes, when `Accept` names an image or a ZIP.",
        "content": _IMAGES,
        "headers": {
            name: {"description": text, "schema": {"type": "string"}} for name, text in _FACTS.items()
        },
    }
}
_TIMEOUT = {
    "name": "X-Timeout",
    "in": "header",
    "schema": {"type": "number", "exclusiveMinimum": 0},
    "description": "Seconds for the whole request, where the server's own limit is too long.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: failures in our own shape that its kind of route does not have anyway."""
    return {status: {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


SERVED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The facts; with a link's own query the bytes.", "content": _IMAGES},
    304: {"description": "With a link's own query: the client has these bytes (`If-None-Match`)."},
    **failures(403),
}
LINK: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "schema": {"type": kind},
            "description": "Of a link. With both, the bytes are answered, and no key is wanted.",
        }
        for name, kind in (("expires", "integer"), ("signature", "string"))
    ]
}
MAKE_CUTOUT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/x-www-form-urlencoded": {"schema": _SCHEMA},
            "application/json": {"schema": _SCHEMA},
            "image/*": {"schema": _FILE},
            "application/octet-stream": {"schema": _FILE},
        },
    },
    "parameters": [
        {
            "name": "Accept",
            "in": "header",
            "schema": {"type": "string", "default": "application/json"},
            "description": "JSON with a link, or the bytes: `image/*`, a media type, `application/zip`.",
        },
    ]
    + [
        {
            "name": name,
            "in": "query",
            "schema": schema,
            "description": schema.get("description", ""),
        }
        for name, schema in CutoutOptions.model_json_schema()["properties"].items()
    ],
}
_JOB_SCHEMA = _SCHEMA | {"properties": _SCHEMA["properties"] | JOB_FIELDS}
_JOB_SCHEMA |= exactly_one_of("image_url", "image_base64", "image_urls")
_JOB_FORM = _FORM | {"properties": _FORM["properties"] | {"webhook_url": JOB_FIELDS["webhook_url"]}}
MAKE_JOB: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": MAKE_CUTOUT["requestBody"]["content"]
        | {"multipart/form-data": {"schema": _JOB_FORM}, "application/json": {"schema": _JOB_SCHEMA}},
    },
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`progress` for every change of an item, `done` at the end.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
RESULTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job; as a ZIP the cutouts.", "content": {"application/zip": {"schema": _FILE}}},
    **failures(409),
}
ROOM_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`landed` for each cutout, `closed` at the room's end.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
LANDED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The cutout.", "content": {"image/png": {"schema": _FILE}}}
}
SHOW_SCREEN: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"image/*": {"schema": _FILE}}},
}
SEND_CUTOUT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": _FILE | {"description": "The cutout: a PNG with transparency."},
                        "view": _FILE | {"description": "A photo of the screen."},
                    },
                    "required": ["image"],
                    "additionalProperties": False,
                }
            }
        },
    },
}
_OPEN = ("/healthz", "/readyz", "/metrics", "/errors", "/stillalive")
_ADMITTED = (400, 429, 503)
_NAMED = (404, 504)
_WITH_A_BODY = (402, 408, 413, 415, 422, 504)
_WITH_AN_IDEMPOTENCY_KEY = (409, 422)


def describe(app: FastAPI, *, keys: bool) -> None:
    """Gives `app` its document. keys: whether clients must show one."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes
            )
            _complete(document, keys)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


def _complete(document: dict[str, Any], keys: bool) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    components["responses"] = _problems()
    components["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "secret": {"type": "apiKey", "in": "header", "name": "X-Secret-Access"},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _add_failures(path, method, operation)
            if path in _OPEN:
                continue
            operation.setdefault("parameters", []).append(_TIMEOUT)
            if method == "post":
                operation["parameters"].append(_IDEMPOTENCY_KEY)
            if keys:
                schemes = ("secret",) if path == "/remove" else ("key", "bearer")
                operation["security"] = [{scheme: []} for scheme in schemes]
                if path.startswith("/v1/"):
                    operation["responses"] |= _named(failures(401))


def _add_failures(path: str, method: str, operation: dict[str, Any]) -> None:
    """What every route of its kind may answer."""
    answers = operation["responses"]
    if answers.get("422", {}).get("description") == "Validation Error":
        del answers["422"]  # FastAPI's own, which is never sent
    statuses: tuple[int, ...] = ()
    if path.startswith("/v1/"):
        statuses += _ADMITTED + (_NAMED if "{" in path else ())
        statuses += _WITH_A_BODY if "requestBody" in operation else ()
        statuses += _WITH_AN_IDEMPOTENCY_KEY if method == "post" else ()
    if path.startswith("/v1/") or path in _OPEN:
        statuses += (500,)
    operation["responses"] = answers = _named(failures(*statuses)) | answers
    operation["responses"] = dict(sorted(answers.items()))


def _named(answers: dict[int | str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(status): answer for status, answer in answers.items()}


def _problems() -> dict[str, Any]:
    """One answer for each status that a failure may have, with its codes."""
    codes: dict[int, list[str]] = defaultdict(list)
    for kind in kinds():
        codes[kind.status].append(f"`{kind.code}`: {kind.title}")
    return {
        f"Problem{status}": {
            "description": " ".join(sorted(told)),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        | ({"headers": _RETRY_AFTER} if status in PASSING else {})
        for status, told in sorted(codes.items())
        if status != ClientGone.status  # which nobody is there to read
    }
