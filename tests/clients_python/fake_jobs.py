"""/v1/jobs as the contract has it, in memory; its pictures are done when somebody looks."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from api.errors import NotFound
from api.problems import Problem, ProblemItem, response
from tests.service import KEY

CUTOUT = {
    "id": "0.png",
    "url": "http://127.0.0.1/v1/cutouts/0.png",
    "expires_at": "2026-11-24T12:00:00Z",
    "width": 96,
    "height": 64,
    "format": "png",
    "media_type": "image/png",
    "size": 5,
    "model": "lite",
    "bounding_box": {"left": 1, "top": 2, "width": 3, "height": 4},
    "timings_ms": None,
}
ZIP = b"PK\5\6" + bytes(18)


@dataclass
class FakeJobs:
    """events: whether there are any. cut_after: events of a connection, which then breaks off.

    down: how many questions are answered 503. A picture whose URL ends in `bad` fails. posted, resumed: what
    clients sent.
    """

    events: bool = True
    cut_after: int | None = None
    down: int = 0
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    posted: list[tuple[str, bytes]] = field(default_factory=list)
    resumed: list[str | None] = field(default_factory=list)
    polls: int = 0

    def app(self, url: str) -> Starlette:
        self.url = url
        return Starlette(
            routes=[
                Route("/v1/jobs", self.create, methods=["POST"]),
                Route("/v1/jobs/{id}", self.show, methods=["GET"]),
                Route("/v1/jobs/{id}", self.delete, methods=["DELETE"]),
                Route("/v1/jobs/{id}/events", self.stream),
                Route("/v1/jobs/{id}/results", self.results),
            ]
        )

    async def create(self, request: Request) -> Response:
        assert request.headers["x-api-key"] == KEY
        assert request.headers["idempotency-key"]
        kind, body = request.headers["content-type"], await request.body()
        self.posted.append((kind, body))
        wish = json.loads(body) if kind == "application/json" else {}
        sources = wish.get("image_urls") or [wish.get("image_url")]
        id = f"job{len(self.jobs)}"
        self.jobs[id] = {
            "id": id,
            "status": "queued",
            "url": f"{self.url}/v1/jobs/{id}",
            "created_at": "2026-11-24T11:00:00Z",
            "finished_at": None,
            "expires_at": "2026-11-25T11:00:00Z",
            "total": len(sources),
            "succeeded": 0,
            "failed": 0,
            "items": [
                {"index": n, "source": source, "status": "queued", "cutout": None, "error": None}
                for n, source in enumerate(sources)
            ],
        }
        return JSONResponse(self.jobs[id], 202, {"Location": self.jobs[id]["url"]})

    async def show(self, request: Request) -> Response:
        self.polls += 1
        if self.polls <= self.down:
            return JSONResponse(_problem(503, "draining"), 503, media_type="application/problem+json")
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return response(NotFound(), "r")
        if not self.events:
            self._step(job)
        return JSONResponse(job)

    async def delete(self, request: Request) -> Response:
        found = self.jobs.pop(request.path_params["id"], None)
        return Response(status_code=204) if found else response(NotFound(), "r")

    async def results(self, request: Request) -> Response:
        job = self.jobs[request.path_params["id"]]
        if job["finished_at"] is None:
            return JSONResponse(_problem(409, "job_unfinished"), 409, media_type="application/problem+json")
        if request.headers["accept"] == "application/zip":
            return Response(ZIP, media_type="application/zip")
        return JSONResponse(job)

    async def stream(self, request: Request) -> Response:
        if not self.events:
            return JSONResponse({"detail": "a proxy in the way"}, 502)
        self.resumed.append(request.headers.get("last-event-id"))
        job = self.jobs[request.path_params["id"]]
        return StreamingResponse(self._events(job), media_type="text/event-stream")

    async def _events(self, job: dict[str, Any]) -> AsyncIterator[str]:
        yield ": heartbeat\n\n"
        sent = 0
        while (item := self._step(job)) is not None:
            if sent == self.cut_after:
                yield "id: 99\nevent: progress\ndata: {"
                return
            news = {name: value for name, value in job.items() if name != "items"} | {"item": item}
            data = json.dumps(news, ensure_ascii=False)  # as the service writes it
            yield f"id: {item['index']}\nevent: progress\ndata: {data}\n\n"
            sent += 1
        data = json.dumps(job, ensure_ascii=False)
        yield f"id: {job['total']}\nevent: done\ndata: {data}\n\n"

    def _step(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Does one more picture, and gives its item."""
        for item in job["items"]:
            if item["status"] != "queued":
                continue
            bad = str(item["source"]).endswith("bad")
            item["status"] = "failed" if bad else "succeeded"
            item["error" if bad else "cutout"] = _problem(422, "corrupt_image") if bad else CUTOUT
            job[item["status"]] += 1
            job["status"] = "running"
            if job["succeeded"] + job["failed"] == job["total"]:
                job["status"] = "succeeded" if job["succeeded"] else "failed"
                job["finished_at"] = "2026-11-24T11:00:09Z"
            return dict(item)
        return None


def _problem(status: int, code: str) -> dict[str, Any]:
    items = [ProblemItem(title=code, code=code, detail=None)]
    return Problem(
        type=f"/errors#{code}",
        title=code,
        status=status,
        code=code,
        detail=None,
        request_id="r",
        errors=items,
    ).model_dump()
