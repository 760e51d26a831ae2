"""/openapi.json, told truthfully: bodies that FastAPI does not parse, answers in bytes, one error shape."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.options import CutoutOptions
from api.problems import MEDIA_TYPE, Problem
from api.routes.bodies import FORMATS, CutoutRequest

_FILE = {"type": "string", "format": "binary"}
_SCHEMA = CutoutRequest.model_json_schema()
_FORM = _SCHEMA["properties"] | {
    "image": _FILE | {"description": "The picture."},
    "background_image": _FILE | {"description": "A picture to put behind the subject."},
}
_FORM.pop("image_base64")
_FACTS = {
    "X-Cutout-Width": "px",
    "X-Cutout-Height": "px",
    "X-Cutout-Model": "The network that found the subject.",
    "X-Cutout-Bounding-Box": "left,top,width,height of the subject in the original, px; absent without one.",
    "Server-Timing": "Each stage's share, ms.",
}
_IMAGES: dict[str, Any] = {media_type: {"schema": _FILE} for media_type in FORMATS}

BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes, when `Accept` names an image or a ZIP.",
        "content": _IMAGES,
        "headers": {
            name: {"description": text, "schema": {"type": "string"}} for name, text in _FACTS.items()
        },
    }
}
SERVED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The facts; with a link's own query the bytes.", "content": _IMAGES}
}
MAKE_CUTOUT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": _FORM}},
            "application/json": {"schema": _SCHEMA},
            "image/*": {"schema": _FILE},
        },
    },
    "parameters": [
        {
            "name": "Accept",
            "in": "header",
            "schema": {"type": "string", "default": "application/json"},
            "description": "JSON with a link, or the bytes: `image/*`, a media type, `application/zip`.",
        },
        {
            "name": "X-Timeout",
            "in": "header",
            "schema": {"type": "number", "exclusiveMinimum": 0},
            "description": "Seconds for the whole request, where the server's own limit is too long.",
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
_OPEN = ("/healthz", "/readyz", "/metrics", "/errors", "/stillalive")


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
    components["securitySchemes"] = {
        "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        "bearer": {"type": "http", "scheme": "bearer"},
        "secret": {"type": "apiKey", "in": "header", "name": "X-Secret-Access"},
    }
    failure = {
        "description": "Any failure.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"].setdefault("default", failure)
            if keys and path not in _OPEN:
                schemes = ("secret",) if path == "/remove" else ("key", "bearer")
                operation["security"] = [{scheme: []} for scheme in schemes]
