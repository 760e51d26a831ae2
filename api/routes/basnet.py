"""POST /: the contract of basnet-http, a photo in and the mask of its subject out."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response

from api import errors, finishing, problems
from api.finishing import Canvas
from api.limits import Gate, while_connected
from api.middleware import exchange_of
from api.options import CutoutOptions
from api.pipeline import Job, Pipeline
from api.routes.bodies import check_model, fact_headers
from api.types import Engine, Picture
from api.uploads import Upload, read_upload
from postprocess.types import Alpha


class MaskRequest(BaseModel):
    """What a client may add to its photo. basnet-http took nothing and passed over what else came."""

    model_config = ConfigDict(frozen=True)

    model: str = Field("lite", description="A key of GET /v1/models.")
    legacy_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="256: a square mask of 256 px, RGB, as basnet-http answered. Default: the photo's size.",
    )

    def compose(self, picture: Picture, alpha: Alpha, behind: Picture | None, wish: CutoutOptions) -> Canvas:
        """The soft matte as grey levels, at the size asked for."""
        canvas = finishing.compose(picture, alpha, behind, wish)
        if self.legacy_size is None:
            return canvas
        size = (self.legacy_size, self.legacy_size)
        small = cv2.resize(canvas.pixels, size, interpolation=cv2.INTER_AREA)
        return replace(canvas, pixels=np.asarray(cv2.cvtColor(small, cv2.COLOR_GRAY2RGB), np.uint8))


def routes(pipeline: Pipeline, engine: Engine, gate: Gate) -> APIRouter:
    """The router of basnet-http."""
    router = APIRouter(tags=["basnet-http"])
    names = [model["name"] for model in engine.models()]

    @router.post("/", response_class=Response, responses=_ANSWERS, openapi_extra=_BODY)
    async def make_mask(request: Request) -> Response:
        """The mask of the photo in `data`: 8-bit grey, soft, as large as the photo."""
        exchange = exchange_of(request)
        try:
            visit = await gate.admit(request)
            job = _job(await read_upload(request, gate.limits, visit.deadline))
            check_model(job.options.model, names)
            async with gate.accounts.paying(visit.caller):
                work = pipeline.remove_background(job, visit.deadline, spend=visit.spend)
                outcome = await while_connected(request, work)
        except errors.ClientGone:
            raise
        except Exception as exc:
            error = exchange.error = problems.as_problem(exc)
            body = {"error": error.public, "code": error.code, "request_id": exchange.id}
            return JSONResponse(body, error.status, problems.headers_of(error))
        headers = fact_headers(outcome.facts, outcome.timings) | {"Cache-Control": "no-store"}
        return Response(outcome.encoded.body, headers=headers, media_type=outcome.encoded.media_type)

    return router


def _job(upload: Upload) -> Job:
    """Raises InvalidOptions."""
    photo = upload.file("data")
    try:
        wish = MaskRequest.model_validate(upload.fields)
    except ValidationError as exc:
        raise problems.invalid(exc) from exc
    options = CutoutOptions(model=wish.model, output="alpha", format="png")
    return Job(photo, options, compose=wish.compose)


_FIELDS = MaskRequest.model_json_schema()["properties"]
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["data"],
                    "properties": {"data": {"type": "string", "format": "binary"}} | _FIELDS,
                }
            }
        },
    }
}
_MEMBERS = ("error", "code", "request_id")
_FAILURE = {
    "type": "object",
    "required": list(_MEMBERS),
    "properties": {name: {"type": "string"} for name in _MEMBERS},
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The mask.",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
    **{
        status: {"description": "A failure.", "content": {"application/json": {"schema": _FAILURE}}}
        for status in (400, 401, 402, 408, 409, 413, 415, 422, 429, 500, 503, 504)
    },
}
