"""/v1/jobs: many pictures, or one that nobody waits for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Self
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response, StreamingResponse

from api.accounts import Caller, Visit
from api.errors import InvalidOptions, JobUnfinished, NotFound
from api.jobs.archive import archive
from api.jobs.events import events
from api.jobs.records import BACKGROUND, IMAGE, JobRecord, NewJob
from api.jobs.service import Jobs
from api.jobs.signing import shown
from api.jobs.views import Job, path_of
from api.limits import Gate, InFlight
from api.middleware import exchange_of
from api.once import once_of
from api.openapi import EVENTS, MAKE_JOB, RESULTS
from api.routes.bodies import CutoutRequest, check_model, wanted_bytes
from api.routes.wishes import REPEATABLE, background_of, read_wish, source_of
from api.sse import HEADERS
from api.types import Deadline, Engine, Store
from api.uploads import Upload, read_upload

_READ_SECONDS = 30.0
_STREAMS_EACH = 8


class JobRequest(CutoutRequest):
    """The options of a cutout for every picture of a job."""

    image_urls: list[str] | None = Field(
        None, min_length=1, description="http(s) URLs of pictures; JSON only. In place of the one picture."
    )
    webhook_url: str | None = Field(
        None, max_length=8192, description="http(s) URL that is told when the job has finished."
    )

    @model_validator(mode="after")
    def _is_kept(self) -> Self:
        if not self.store:
            raise ValueError("store: the results of a job are kept; see expires_in")
        if any(len(url) > 8192 for url in self.image_urls or ()):
            raise ValueError("image_urls: a URL has at most 8192 characters")
        return self


class WebhookSecret(BaseModel):
    """What a caller verifies its webhooks with."""

    secrets: list[str] = Field(description="`whsec_…`; the first is the newest. Any of them may have signed.")


def routes(
    jobs: Jobs, engine: Engine, store: Store, gate: Gate, life: float, draining: Callable[[], bool]
) -> APIRouter:
    """The router of /v1/jobs. life: how long results are kept, s. draining: whether the process is ending."""
    router = APIRouter(prefix="/v1", tags=["jobs"])
    names = [model["name"] for model in engine.models()]
    streams = InFlight(jobs.config.streams)

    async def found(id: str, visit: Visit) -> JobRecord:
        record = await jobs.find(id, visit.caller.id)
        if record is None:
            raise NotFound("no such job of this caller")
        return record

    @router.post("/jobs", status_code=202, response_model=Job, openapi_extra=MAKE_JOB)
    async def make_job(request: Request) -> Response:
        """Accepts one picture in any way that /v1/cutouts does, or many by their URLs, to be cut later.

        Once it is answered, it will be done, whatever happens to the service.
        """
        visit = await gate.admit(request)
        upload = await read_upload(request, gate.limits, visit.deadline, repeatable=REPEATABLE)
        wish = read_wish(upload, JobRequest, life)
        check_model(wish.model, names)
        if wish.webhook_url is not None:
            jobs.courier.check(wish.webhook_url)
        new = _new_job(request, visit, upload, wish, life=life, most=jobs.config.images)
        exchange_of(request).fields |= {"job": new.id, "pictures": len(new.sources)}
        cost = visit.caller.plan.credits_per_cutout * len(new.sources)
        await gate.accounts.require(visit.caller, cost)
        record = await jobs.accept(new)
        return _json(jobs.views.job(record), 202, Location=path_of(record.id))

    @router.get("/jobs/{id}", response_model=Job)
    async def get_job(id: str, request: Request) -> Response:
        """The job as it stands."""
        visit = await gate.admit(request)
        return _json(jobs.views.job(await found(id, visit)))

    @router.delete("/jobs/{id}", status_code=204)
    async def delete_job(id: str, request: Request) -> Response:
        """Cancels a job, or removes one that has ended. Either way its results and uploads go."""
        visit = await gate.admit(request)
        if await jobs.remove(id, visit.caller.id) is None:
            raise NotFound("no such job of this caller")
        return Response(status_code=204)

    @router.get("/jobs/{id}/events", response_class=Response, responses=EVENTS)
    async def job_events(id: str, request: Request) -> Response:
        """Its progress, as server-sent events."""
        visit = await gate.admit(request)
        record = await found(id, visit)
        # A stream lasts: it holds one of their own places and none that requests need.
        exchange = exchange_of(request)
        exchange.held.close()
        exchange.held.enter_context(streams.place(_watcher(visit.caller)))
        stream = events(
            record,
            partial(jobs.find, id, visit.caller.id),
            changes=jobs.changes,
            views=jobs.views,
            after=_last_event(request),
            ending=draining,
        )
        return StreamingResponse(stream, headers=HEADERS, media_type="text/event-stream")

    @router.get("/jobs/{id}/results", response_model=Job, responses=RESULTS)
    async def job_results(id: str, request: Request) -> Response:
        """All results of a finished job: the facts, or `Accept: application/zip` the files themselves."""
        visit = await gate.admit(request)
        record = await found(id, visit)
        if record.finished_at is None:
            raise JobUnfinished()
        job = jobs.views.job(record)
        _, format = wanted_bytes(request.headers.get("accept", ""))
        if format != "zip":
            return _json(job)

        async def read(key: str) -> tuple[bytes, str]:
            return await store.read(key, deadline=Deadline.after(_READ_SECONDS))

        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        headers["Content-Disposition"] = f'attachment; filename="{id}.zip"'
        return StreamingResponse(archive(job, read), headers=headers, media_type="application/zip")

    @router.get("/webhook-secret", response_model=WebhookSecret)
    async def webhook_secret(request: Request) -> Response:
        """What the caller's webhooks are signed with."""
        visit = await gate.admit(request)
        keys = await jobs.keys.of(visit.caller.id)
        return _json(WebhookSecret(secrets=[shown(key) for key in keys]))

    return router


def _new_job(
    request: Request, visit: Visit, upload: Upload, wish: JobRequest, *, life: float, most: int
) -> NewJob:
    """Raises InvalidOptions."""
    uploads: dict[str, bytes] = {}
    sources: list[str | None] = []
    if wish.image_urls is not None:
        if upload.files.keys() & {"image"} or wish.image_url or wish.image_base64:
            raise InvalidOptions(public="image_urls: not together with another picture")
        if len(wish.image_urls) > most:
            raise InvalidOptions(public=f"image_urls: at most {most} in one job")
        sources.extend(wish.image_urls)
    else:
        source = source_of(upload, wish)
        if isinstance(source, bytes):
            uploads[IMAGE] = source
        sources.append(source if isinstance(source, str) else None)
    background = background_of(upload, wish)
    if isinstance(background, bytes):
        uploads[BACKGROUND] = background
    once = once_of(request)
    return NewJob(
        id=f"job_{uuid4().hex}",
        owner=visit.caller.id,
        bucket=visit.caller.bucket,
        plan=visit.caller.plan.name,
        request_id=exchange_of(request).id,
        options=wish.options().model_dump_json(),
        life=float(wish.expires_in or life),
        sources=sources,
        uploads=uploads,
        background=background if isinstance(background, str) else None,
        webhook=wish.webhook_url,
        once=once.key if once else None,
        fingerprint=once.fingerprint if once else None,
    )


def _watcher(caller: Caller) -> Caller:
    """The caller, with a share of the streams in place of requests."""
    return replace(caller, plan=caller.plan.model_copy(update={"in_flight": _STREAMS_EACH}))


def _last_event(request: Request) -> int:
    given = request.headers.get("last-event-id", "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 16 else 0


def _json(body: BaseModel, status: int = 200, **headers: str) -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "Accept"} | headers
    return Response(body.model_dump_json(), status, headers, "application/json")
