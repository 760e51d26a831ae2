"""/v1: our own contract. Every option of a cutout, links or bytes, and one shape for every failure."""

import time

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from api.accounts import Caller
from api.errors import LinkUnstorable, NotFound
from api.limits import Gate, while_connected
from api.logs import without_secrets
from api.middleware import exchange_of
from api.naming import is_owned
from api.openapi import BYTES, LINK, MAKE_CUTOUT, SERVED
from api.pipeline import Job, Outcome, Pipeline
from api.routes.bodies import (
    Cutout,
    CutoutRequest,
    Licences,
    Models,
    check_model,
    fact_headers,
    wanted_bytes,
)
from api.routes.wishes import REPEATABLE, background_of, read_wish, source_of
from api.storage.served import ServedStore, path_of
from api.types import Engine, Link, Store
from api.uploads import Upload, read_upload

SANDBOX = "default-src 'none'; sandbox"
"""Content-Security-Policy of stored bytes: whatever they are, they run nothing and load nothing."""


def routes(pipeline: Pipeline, engine: Engine, store: Store, gate: Gate, life: float) -> APIRouter:
    """The router of /v1. life: how long results are kept, s."""
    router = APIRouter(prefix="/v1", tags=["cutouts"])
    names = [model["name"] for model in engine.models()]

    @router.post(
        "/cutouts", status_code=201, response_model=Cutout, responses=BYTES, openapi_extra=MAKE_CUTOUT
    )
    async def make_cutout(request: Request) -> Response:
        """Cuts the subject out of a picture.

        Exactly one of the file `image`, `image_url` and `image_base64` (or a raw image as the body, with
        the options in the query). `Accept: image/*` or `application/zip` answers the bytes themselves.
        """
        visit = await gate.admit(request)
        upload = await read_upload(request, gate.limits, visit.deadline, repeatable=REPEATABLE)
        as_bytes, named = wanted_bytes(request.headers.get("accept", ""))
        if named and upload.fields.get("format") is None:
            upload.fields["format"] = named
        job = _job(upload, life, store=not as_bytes, owner=visit.caller.id)
        check_model(job.options.model, names)
        if isinstance(job.source, str):
            exchange_of(request).fields["source"] = without_secrets(job.source)
        del upload
        async with gate.accounts.paying(visit.caller):
            work = pipeline.remove_background(job, visit.deadline, spend=visit.spend)
            outcome = await while_connected(request, work)
        _log(request, outcome)
        if outcome.id and outcome.link:
            return _as_link(outcome, outcome.id, outcome.link)
        return _as_bytes(outcome)

    @router.get("/cutouts/{id}", response_model=Cutout, responses=SERVED, openapi_extra=LINK)
    async def get_cutout(id: str, request: Request) -> Response:
        """The facts of the key's own cutout, with a fresh link; with the link's own query, the bytes."""
        if "signature" in request.query_params:
            return await _serve(request, id)
        visit = await gate.admit(request)
        _check_owner(id, visit.caller)
        found = await store.find(id, deadline=visit.deadline)
        return _json(Cutout.of(id, found.link, found.media_type, found.size, found.facts))

    @router.delete("/cutouts/{id}", status_code=204)
    async def delete_cutout(id: str, request: Request) -> Response:
        """Removes a stored cutout of the same key; its links end."""
        visit = await gate.admit(request)
        _check_owner(id, visit.caller)
        await store.delete(id, deadline=visit.deadline)
        return Response(status_code=204)

    @router.get("/models", response_model=Models, tags=["service"])
    async def list_models(request: Request) -> Response:
        """The values that `model` may have."""
        await gate.admit(request)
        return _json(Models.model_validate({"models": engine.models()}))

    @router.get("/licenses", response_model=Licences, tags=["service"])
    async def list_licences(request: Request) -> Response:
        """Licence, paper and source of every network."""
        await gate.admit(request)
        return _json(Licences.model_validate({"models": engine.models()}))

    async def _serve(request: Request, key: str) -> Response:
        deadline = await gate.admit_anyone(request)
        if not isinstance(store, ServedStore):
            raise NotFound("links of this store lead elsewhere")
        store.signer.verify(path_of(key), request.query_params)
        seconds = max(0, int(request.query_params["expires"]) - int(time.time()))
        headers = {
            "Cache-Control": f"private, max-age={seconds}, immutable",
            "Content-Disposition": f'inline; filename="{key}"',
            "Content-Security-Policy": SANDBOX,
            "ETag": f'"{key}"',
        }
        body, media_type = await store.read(key, deadline=deadline)  # first of all: it may be deleted
        if f'"{key}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=media_type)

    return router


def _job(upload: Upload, life: float, *, store: bool, owner: str) -> Job:
    """life: a result's longest, s. Raises InvalidOptions, LinkUnstorable."""
    wish = read_wish(upload, CutoutRequest, life)
    if store and not wish.store:
        raise LinkUnstorable()
    return Job(
        source_of(upload, wish),
        wish.options(),
        background_of(upload, wish),
        store,
        owner=owner,
        life=wish.expires_in,
    )


def _check_owner(id: str, caller: Caller) -> None:
    """An id is in every link, and links are shown around. Raises NotFound: it is another caller's."""
    if not caller.is_operator and not is_owned(id, caller.id):
        raise NotFound(f"{id} is not {caller.id}'s")


def _log(request: Request, outcome: Outcome) -> None:
    exchange_of(request).fields.update(
        model=outcome.model,
        width=outcome.encoded.width,
        height=outcome.encoded.height,
        size=len(outcome.encoded.body),
        timings_ms={stage: round(ms, 1) for stage, ms in outcome.timings.items()},
    )


def _as_link(outcome: Outcome, key: str, link: Link) -> Response:
    encoded = outcome.encoded
    cutout = Cutout.of(key, link, encoded.media_type, len(encoded.body), outcome.facts, outcome.timings)
    return _json(cutout, status=201, Location=path_of(key))


def _as_bytes(outcome: Outcome) -> Response:
    headers = fact_headers(outcome.facts, outcome.timings)
    headers |= {"Cache-Control": "no-store", "Content-Security-Policy": SANDBOX, "Vary": "Accept"}
    return Response(outcome.encoded.body, headers=headers, media_type=outcome.encoded.media_type)


def _json(body: BaseModel, status: int = 200, **headers: str) -> Response:
    headers = {"Cache-Control": "no-store", "Vary": "Accept"} | headers
    return Response(body.model_dump_json(), status, headers, "application/json")
