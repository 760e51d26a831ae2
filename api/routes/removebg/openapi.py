"""What /openapi.json says of /v1.0."""

from typing import Any

from api.openapi import exactly_one_of

_TEXT = {"type": "string"}
_FILE = {"type": "string", "format": "binary"}
_SOURCES: dict[str, Any] = {
    "image_file_b64": _TEXT | {"format": "byte", "description": "The picture in base64; exactly one source."},
    "image_url": _TEXT | {"format": "uri", "description": "The picture's URL; exactly one source."},
}
_IMAGE = {"image_file": _FILE | {"description": "The picture; exactly one source."}}
_CHOICES: dict[str, tuple[str, tuple[str, ...]]] = {
    "size": (
        "Largest result: 0.25, 1.5, 4 megapixels, as large as may be, 50.",
        ("preview", "small", "regular", "medium", "hd", "full", "4k", "auto", "50MP"),
    ),
    "type": (
        "The subject; only its shadow depends on it.",
        ("auto", "person", "product", "car", "animal", "graphic", "graphics", "transportation", "other"),
    ),
    "type_level": ("`none` leaves X-Type out.", ("1", "none", "2", "latest")),
    "format": ("`auto` is PNG where something is transparent.", ("auto", "png", "jpg", "webp", "zip")),
    "channels": ("The picture, or its matte alone.", ("rgba", "alpha")),
    "shadow_type": ("Under the subject.", ("none", "auto", "drop", "3D", "car")),
}
_PARAMETERS: dict[str, Any] = {
    "roi": _TEXT
    | {"default": "0% 0% 100% 100%", "description": "`x1 y1 x2 y2` in px or %: the subject is there."},
    "crop": {"type": "boolean", "default": False, "description": "To the subject."},
    "crop_margin": _TEXT
    | {"default": "0", "description": "One, two or four lengths in px or % of the subject."},
    "scale": _TEXT | {"default": "original", "description": "`10%` to `100%` of the canvas."},
    "position": _TEXT | {"default": "original", "description": "`original`, `center`, `X%` or `X% Y%`."},
    "add_shadow": {"type": "boolean", "default": False, "description": "As shadow_type=auto."},
    "shadow_opacity": {"type": "number", "default": 50, "description": "0 to 100."},
    "semitransparency": {"type": "boolean", "default": True, "description": "Taken, and without effect."},
    "bg_color": _TEXT | {"description": "3, 4, 6 or 8 hexadecimal digits, or a colour's name."},
    "bg_image_url": _TEXT
    | {"format": "uri", "description": "A picture to put behind the subject, covering and centred."},
} | {
    name: _TEXT | {"enum": list(words), "default": words[0], "description": text}
    for name, (text, words) in _CHOICES.items()
}
_BACKGROUND = {"bg_image_file": _FILE | {"description": "As bg_image_url."}}
_NOTES: dict[str, Any] = {"image_filename": _TEXT, "tag": _TEXT}


def _body(fields: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    text = {"schema": _members(_SOURCES, fields)}
    form = {"schema": _members(_IMAGE | _SOURCES, fields | files)}
    content = {
        "multipart/form-data": form,
        "application/x-www-form-urlencoded": text,
        "application/json": text,
    }
    return {"requestBody": {"required": True, "content": content}}


def _members(sources: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": sources | others} | exactly_one_of(*sources)


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_NUMBER = {"type": "integer"}
_AMOUNT = {"type": "number"}
_FAILURE = _json(
    "A failure.",
    _object(errors={"type": "array", "minItems": 1, "items": _object(title=_TEXT, code=_TEXT, detail=_TEXT)}),
)
_FAILURES: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 403, 429, 500, 503), _FAILURE)
_FAILURES_OF_BODIES = _FAILURES | dict.fromkeys((402, 408, 409, 413, 415, 422), _FAILURE)
_HEADERS = {
    "X-Credits-Charged": "Credits.",
    "X-Type": "`other`; absent with type_level=none.",
    "X-Width": "Of the result, px.",
    "X-Height": "Of the result, px.",
    "X-Max-Width": "What size=full would give, px.",
    "X-Max-Height": "What size=full would give, px.",
    "X-Foreground-Top": "The subject in the picture as it came, px.",
    "X-Foreground-Left": "The same.",
    "X-Foreground-Width": "The same.",
    "X-Foreground-Height": "The same.",
}
_SIDES = {f"foreground_{side}": _NUMBER for side in ("top", "left", "width", "height")}
_JSON_RESULT = _object(data=_object(result_b64=_TEXT, **_SIDES))
_KINDS = ("image/png", "image/jpeg", "image/webp", "application/zip")

RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The result, or with `Accept: application/json` the same in base64.",
        "content": {kind: {"schema": _FILE} for kind in _KINDS}
        | {"application/json": {"schema": _JSON_RESULT}},
        "headers": {name: {"description": text, "schema": _TEXT} for name, text in _HEADERS.items()},
    },
    **_FAILURES_OF_BODIES,
}
ACCOUNT: dict[int | str, dict[str, Any]] = {
    200: _json(
        "What is left.",
        _object(
            data=_object(
                attributes=_object(
                    credits=_object(total=_AMOUNT, subscription=_AMOUNT, payg=_AMOUNT, enterprise=_AMOUNT),
                    api=_object(free_calls=_NUMBER, sizes=_TEXT),
                )
            )
        ),
    ),
    **_FAILURES,
}
IMPROVED: dict[int | str, dict[str, Any]] = {
    200: _json("It is kept.", _object(id=_TEXT | {"format": "uuid"})),
    **_FAILURES_OF_BODIES,
}
REMOVE = _body(_PARAMETERS, _BACKGROUND)
IMPROVE = _body(_NOTES, {})
