"""GET and POST /api/remove: what clients of `rembg s` send, and the PNG that they expect.

Its answers to what fails are FastAPI's: `detail` is a text, or on a 422 the list of what is wrong.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, cast

from fastapi import APIRouter, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from starlette.responses import JSONResponse, Response

from api import errors, finishing, problems
from api.limits import Gate, while_connected
from api.logs import without_secrets
from api.middleware import exchange_of
from api.options import CutoutOptions
from api.pipeline import Job, Pipeline
from api.problems import headers_of
from api.routes.bodies import fact_headers
from api.types import Engine, Picture
from api.uploads import Upload, read_upload
from postprocess.trimap import smooth_mask, solve, trimap
from postprocess.types import Alpha

MODELS: Mapping[str, str] = {
    "u2net": "lite",
    "u2netp": "lite",
    "u2net_human_seg": "lite",
    "silueta": "lite",
    "isnet-general-use": "birefnet-lite",
    "isnet-anime": "birefnet-lite",
    "birefnet-general": "birefnet-general",
    "birefnet-general-lite": "birefnet-lite",
    "birefnet-portrait": "birefnet-portrait",
    "birefnet-dis": "birefnet-dis",
    "birefnet-hrsod": "birefnet-hrsod",
    "birefnet-cod": "birefnet-cod",
    "birefnet-massive": "birefnet-general",
    "bria-rmbg": "birefnet-general",
}
"""rembg's names, and the network here that does their work: itself, or the nearest of its size and kind."""
REFUSED: Mapping[str, str] = {
    "u2net_cloth_seg": "it parts clothes, which no network here does",
    "sam": "it wants prompts, which no network here takes",
    "u2net_custom": "models from files are not taken from requests",
    "dis_custom": "models from files are not taken from requests",
    "ben_custom": "models from files are not taken from requests",
}
LARGEST_EROSION = 255
"""px. rembg takes any number; ours is work per pixel that a stranger chooses."""
UNREADABLE = (errors.SourceError, errors.UnsupportedImage, errors.CorruptImage, errors.ImageTooLarge)
"""What is about the picture rather than the parameters."""
_IN_QUERY = frozenset({"bgc", "extras"})
"""Where rembg reads these even of a POST."""
_TEXT = {"type": "string"}

Finding: TypeAlias = dict[str, Any]
"""`type`, `loc`, `msg`: what FastAPI says of one parameter."""


class Rgba(NamedTuple):
    """`r,g,b,a`, 0 to 255 each."""

    red: Annotated[int, Field(ge=0, le=255)]
    green: Annotated[int, Field(ge=0, le=255)]
    blue: Annotated[int, Field(ge=0, le=255)]
    alpha: Annotated[int, Field(ge=0, le=255)]


class Extras(BaseModel):
    """The members of `extras` that mean something here; rembg hands them all to its own functions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    putalpha: bool = False


def _split(text: object) -> object:
    return [part.strip() for part in text.split(",")] if isinstance(text, str) else text


def _parse(text: object) -> object:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError("not JSON") from None


class RembgRequest(BaseModel):
    """The parameters of /api/remove with rembg's defaults. Unknown ones are passed over, as FastAPI does."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("u2net", description="One of rembg's names, or of GET /v1/models.")
    a: bool = Field(False, description="Alpha matting.")
    af: int = Field(240, ge=0, le=255, description="Alpha matting: the subject's threshold.")
    ab: int = Field(10, ge=0, le=255, description="Alpha matting: the background's threshold.")
    ae: int = Field(10, ge=0, le=LARGEST_EROSION, description="Alpha matting: erosion, px.")
    om: bool = Field(False, description="Only the mask.")
    ppm: bool = Field(False, description="Post-process the mask: its edge becomes hard.")
    bgc: Annotated[Rgba | None, BeforeValidator(_split), WithJsonSchema(_TEXT)] = Field(
        None, description="Fills the transparent part: `r,g,b,a`, 0 to 255 each."
    )
    extras: Annotated[Extras | None, BeforeValidator(_parse), WithJsonSchema(_TEXT)] = Field(
        None, description='JSON: `{"putalpha": true}` keeps the photo\'s own colours at the edge.'
    )

    def options(self, network: str) -> CutoutOptions:
        """As our own. network: a key of the registry."""
        return CutoutOptions(
            model=network,
            output="alpha" if self.om else "cutout",
            background="#{:02x}{:02x}{:02x}{:02x}".format(*self.bgc) if self.bgc else None,
            decontaminate=not (self.extras and self.extras.putalpha),
            format="png",
        )

    def matte(self, picture: Picture, coarse: Alpha, options: CutoutOptions) -> Alpha:
        """Ours, (H, W), and then what rembg does with its own, in its order."""
        alpha = finishing.refine(picture, coarse, options)
        if self.ppm:
            alpha = smooth_mask(alpha)
        if self.a:
            alpha = solve(picture.rgb, alpha, trimap(alpha, self.af, self.ab, self.ae))
        return alpha


class BadParameters(errors.InvalidOptions):
    """What FastAPI answers 422: the list of what is wrong, in place of a text."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(f"{finding['loc'][-1]}: {finding['msg']}" for finding in findings))
        self.findings = findings


def routes(pipeline: Pipeline, engine: Engine, gate: Gate) -> APIRouter:
    """The router of rembg's server."""
    router = APIRouter(prefix="/api", tags=["rembg"])
    names = [model["name"] for model in engine.models()]

    async def answer(request: Request) -> Response:
        exchange = exchange_of(request)
        try:
            visit = await gate.admit(request)
            upload = await read_upload(request, gate.limits, visit.deadline)
            job = _job(request.method, upload, names)
            if isinstance(job.source, str):
                exchange.fields["source"] = without_secrets(job.source)
            async with gate.accounts.paying(visit.caller):
                work = pipeline.remove_background(job, visit.deadline, spend=visit.spend)
                outcome = await while_connected(request, work)
        except errors.ClientGone:
            raise
        except Exception as exc:
            exchange.error = problems.as_problem(exc)
            return _failure(exchange.error, exchange.id)
        headers = fact_headers(outcome.facts, outcome.timings) | {"Cache-Control": "no-store"}
        return Response(outcome.encoded.body, headers=headers, media_type=outcome.encoded.media_type)

    @router.get("/remove", response_class=Response, responses=_ANSWERS, openapi_extra=_GET)
    async def remove_by_url(request: Request) -> Response:
        """Removes the background of the picture behind `url`, as `rembg s` does."""
        return await answer(request)

    @router.post("/remove", response_class=Response, responses=_ANSWERS, openapi_extra=_POST)
    async def remove_by_file(request: Request) -> Response:
        """Removes the background of the picture in `file`, as `rembg s` does."""
        return await answer(request)

    return router


def _job(method: str, upload: Upload, names: list[str]) -> Job:
    """Raises BadParameters."""
    by_url = method == "GET"
    source = upload.fields.get("url") if by_url else upload.files.get("file")
    findings: list[Finding] = []
    if source is None:
        finding = {"type": "missing", "loc": ["url" if by_url else "file"], "msg": "Field required"}
        findings.append(finding)
    network = ""
    try:
        wish = RembgRequest.model_validate(upload.fields)
        network = network_of(wish.model, names)
    except ValidationError as exc:
        findings += map(dict, exc.errors(include_url=False, include_context=False, include_input=False))
    except ValueError as exc:
        findings.append({"type": "value_error", "loc": ["model"], "msg": str(exc)})
    if findings:
        raise BadParameters([finding | {"loc": _place(finding["loc"], by_url)} for finding in findings])
    return Job(cast(str | bytes, source), wish.options(network), refine=wish.matte)


def network_of(name: str, names: Iterable[str]) -> str:
    """The network of this service that answers to one of rembg's names, or to its own.

    Raises ValueError: there is none; the text says why.
    """
    if name in REFUSED:
        raise ValueError(f"{name} is not offered: {REFUSED[name]}")
    if name in MODELS:
        return MODELS[name]
    if name in names:
        return name
    raise ValueError(f"must be one of {', '.join(sorted({*MODELS, *names}))}")


def _place(loc: Sequence[int | str], by_url: bool) -> list[int | str]:
    return ["query" if by_url or loc[0] in _IN_QUERY else "body", *loc]


def _failure(error: errors.ObjectCutError, request_id: str) -> Response:
    """`detail` as rembg's clients read it, and what ours know a failure by."""
    status = error.status
    detail: str | list[Finding] = error.public
    if isinstance(error, BadParameters):
        status, detail = 422, error.findings
    elif isinstance(error, errors.IdempotencyMismatch):
        finding = {"type": error.code, "loc": ["header", "Idempotency-Key"], "msg": error.public}
        detail = [finding]
    elif isinstance(error, UNREADABLE):
        status = 400  # 422 means a list to these clients
    body = {"detail": detail, "code": error.code, "request_id": request_id}
    return JSONResponse(body, status, headers_of(error))


_PARAMETERS: dict[str, dict[str, Any]] = RembgRequest.model_json_schema()["properties"]


def _query(names: Iterable[str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "schema": _PARAMETERS[name],
            "description": _PARAMETERS[name]["description"],
        }
        for name in names
    ]


_URL = {"name": "url", "in": "query", "required": True, "schema": {"type": "string", "format": "uri"}}
_FORM = {"file": {"type": "string", "format": "binary"}} | {
    name: schema for name, schema in _PARAMETERS.items() if name not in _IN_QUERY
}
_GET: dict[str, Any] = {"parameters": [_URL, *_query(_PARAMETERS)]}
_POST: dict[str, Any] = {
    "parameters": _query(sorted(_IN_QUERY)),
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": _FORM}}
        },
    },
}
_FAILURE = {
    "type": "object",
    "required": ["detail", "code", "request_id"],
    "properties": {
        "detail": {"anyOf": [_TEXT, {"type": "array", "items": {"type": "object"}}]},
        "code": _TEXT,
        "request_id": _TEXT,
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The cutout, or its mask.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    **{
        status: {"description": "A failure.", "content": {"application/json": {"schema": _FAILURE}}}
        for status in (400, 401, 402, 408, 409, 413, 422, 429, 500, 503, 504)
    },
}
