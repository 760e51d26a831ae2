"""What operators and orchestrators ask."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from api import problems
from api.metrics import Metrics
from api.routes.page import POLICY
from api.routes.reference import error_page, reference_page

_READINESS = {
    "type": "object",
    "required": ["ready", "draining", "models"],
    "properties": {
        "ready": {"type": "boolean"},
        "draining": {"type": "boolean", "description": "It has been asked to stop."},
        "models": {"type": "object", "description": "By name: device, precision, sha256 of the weights, …"},
    },
}
_HEALTH = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


def routes(metrics: Metrics, readiness: Callable[[], dict[str, Any]]) -> APIRouter:
    """readiness: `{"ready": bool, …}`, JSON throughout."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz", responses={200: _json(_HEALTH)})
    async def healthz() -> Response:
        """Whether the process answers at all."""
        return JSONResponse({"status": "ok"})

    @router.get(
        "/readyz",
        responses={
            200: _json(_READINESS),
            503: {"description": "Not ready, or shutting down; the same members."} | _json(_READINESS),
        },
    )
    async def readyz() -> Response:
        """Whether it should be sent work: device, precision, weights and warmth of each model."""
        state = readiness()
        return JSONResponse(state, 200 if state["ready"] else 503, {"Cache-Control": "no-store"})

    @router.get("/metrics", response_class=PlainTextResponse)
    async def read_metrics() -> Response:
        """For Prometheus."""
        metrics.models(readiness()["models"])
        return Response(metrics.text(), media_type=metrics.media_type)

    @router.get("/errors", response_class=HTMLResponse)
    async def error_list() -> Response:
        """Every `code` that a failure may have: where `type` leads to."""
        return HTMLResponse(error_page(problems.kinds()), headers={"Content-Security-Policy": POLICY})

    @router.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return HTMLResponse(
            reference_page(request.app.openapi()), headers={"Content-Security-Policy": POLICY}
        )

    return router


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
