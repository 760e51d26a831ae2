"""/v1.0: remove.bg's API, for its clients. New clients are better served by /v1/cutouts."""

import asyncio
import base64
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.accounts import Balance, Caller
from api.errors import InvalidUrl, SourceError
from api.limits import Gate, while_connected
from api.logs import without_secrets
from api.middleware import exchange_of
from api.once import once_of
from api.pipeline import Outcome, Pipeline
from api.routes.removebg import openapi
from api.routes.removebg.answers import Refused, UnsupportedBody, as_json, wants_json
from api.routes.removebg.config import RemoveBgConfig
from api.routes.removebg.parameters import Parameters, parse, source_of, texts
from api.routes.removebg.submissions import Submissions
from api.types import Deadline, Decoder, Store
from api.uploads import Upload, read_upload
from postprocess.place import fitted

PREFIX = "/v1.0"
BODIES = frozenset({"multipart/form-data", "application/x-www-form-urlencoded", "application/json", ""})
NOTES: tuple[str, ...] = ("image_filename", "tag")
"""What may be said about a picture that is handed in."""
FIRST_BYTE = 18.0
"""Seconds. The Ruby gem hangs up after 20 s without one, and sends everything again."""
ENDLESS = 1_000_000
"""What /account tells callers without a balance: their clients calculate with it."""


def routes(
    pipeline: Pipeline, decoder: Decoder, store: Store, gate: Gate, config: RemoveBgConfig
) -> APIRouter:
    """The router of /v1.0. Failures are written by `answers.failure`, wherever they arise."""
    router = APIRouter(prefix=PREFIX, tags=["remove.bg"])
    submissions = Submissions(decoder, store, per_day=config.improve_per_day)

    @router.post("/removebg", response_class=Response, responses=openapi.RESULT, openapi_extra=openapi.REMOVE)
    async def removebg(request: Request) -> Response:
        """Removes the background of a picture."""
        visit = await gate.admit(request)
        deadline = _soon(visit.deadline)
        wish = parse(await _upload(request, gate, deadline))
        if wish.size == "auto" and await is_preview(request, visit.caller):
            wish = replace(wish, size="preview")
        if isinstance(wish.source, str):
            exchange_of(request).fields["source"] = without_secrets(wish.source)
        price, told = _price(wish, config)

        async def work() -> Outcome:
            background = await _background(pipeline, wish, deadline)
            return await pipeline.remove_background(wish.job(config, background), deadline, spend=visit.spend)

        async with gate.accounts.paying(visit.caller, price):
            outcome = await while_connected(request, work())
        headers = _facts(wish, outcome, config) | {"X-Credits-Charged": told}
        if not wants_json(request.headers.get("accept", "")):
            extra = {"Cache-Control": "no-store", "Vary": "Accept"}
            return Response(
                outcome.encoded.body, headers=headers | extra, media_type=outcome.encoded.media_type
            )
        return await asyncio.to_thread(_as_json, outcome, headers)

    async def is_preview(request: Request, caller: Caller) -> bool:
        """What `auto` means: all that the credits are good for, and made again what it was before."""
        once = once_of(request)
        if once and once.expected:
            return once.answered.get("x-credits-charged") == _told(config, preview=True)
        return _lacks_one(await gate.accounts.balance(caller))

    @router.get("/account", responses=openapi.ACCOUNT)
    async def account(request: Request) -> Response:
        """The credits of the key."""
        visit = await gate.admit(request)
        balance = await gate.accounts.balance(visit.caller)
        left = ENDLESS if balance.credits is None else _whole(balance.credits)
        credits = {"total": left, "subscription": 0, "payg": left, "enterprise": 0}
        api = {"free_calls": 0, "sizes": "all"}
        return as_json({"data": {"attributes": {"credits": credits, "api": api}}})

    @router.post("/improve", responses=openapi.IMPROVED, openapi_extra=openapi.IMPROVE)
    async def improve(request: Request) -> Response:
        """Hands a picture in that came out badly, for the operator of this service."""
        visit = await gate.admit(request)
        upload = await _upload(request, gate, visit.deadline)
        given = texts(upload.fields)
        source = source_of(given, upload.files)
        del upload
        data = await pipeline.bytes_of(source, visit.deadline)
        notes = {name: given[name] for name in NOTES if name in given}
        return as_json({"id": await submissions.keep(data, visit.caller, notes, visit.deadline, visit.spend)})

    return router


async def _upload(request: Request, gate: Gate, deadline: Deadline) -> Upload:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in BODIES:
        raise UnsupportedBody(
            f"content type {kind[:80]!r}",
            public="Send multipart/form-data, application/x-www-form-urlencoded or application/json.",
        )
    return await read_upload(request, gate.limits, deadline)


async def _background(pipeline: Pipeline, wish: Parameters, deadline: Deadline) -> bytes | None:
    """The bytes of the picture for the background. Raises Refused: its URL, its download."""
    if wish.background_url is None:
        return wish.background_file
    try:
        return await pipeline.bytes_of(wish.background_url, deadline)
    except InvalidUrl as exc:
        detail = f"bg_image_url: {exc.reason}."
        raise Refused("invalid_bg_image_url", "Invalid bg_image_url", detail) from exc
    except SourceError as exc:
        title = "Failed to download background image from given bg_image_url"
        raise Refused("failed_bg_download", title, exc.public) from exc


def _soon(deadline: Deadline) -> Deadline:
    """The same clock, ending earlier where it would end too late for these clients."""
    return replace(deadline, at=min(deadline.at, deadline.clock() + FIRST_BYTE))


def _lacks_one(balance: Balance) -> bool:
    return balance.credits is not None and balance.credits < 1


def _price(wish: Parameters, config: RemoveBgConfig) -> tuple[float, str]:
    """In credits, and as X-Credits-Charged: some clients read an integer and break on anything else."""
    told = _told(config, preview=wish.preview)
    return float(told), told


def _told(config: RemoveBgConfig, *, preview: bool) -> str:
    if config.credits == "integer":
        return "0" if preview else "1"
    return "0.25" if preview else "1.0"


def _facts(wish: Parameters, outcome: Outcome, config: RemoveBgConfig) -> dict[str, str]:
    width, height = fitted(outcome.size, wish.megapixels("full", config))
    facts = {
        "X-Width": outcome.encoded.width,
        "X-Height": outcome.encoded.height,
        "X-Max-Width": width,
        "X-Max-Height": height,
    }
    facts |= {f"X-Foreground-{name.title()}": value for name, value in _foreground(outcome).items()}
    headers = {name: str(value) for name, value in facts.items()}
    # Nothing here tells cars from people: `other` is the one class that is always true.
    return headers if wish.type_level == "none" else headers | {"X-Type": "other"}


def _foreground(outcome: Outcome) -> dict[str, int]:
    """px of the picture as it came."""
    return dict(zip(("left", "top", "width", "height"), outcome.bounding_box or (0, 0, 0, 0), strict=True))


def _as_json(outcome: Outcome, headers: dict[str, str]) -> Response:
    data: dict[str, Any] = {"result_b64": base64.b64encode(outcome.encoded.body).decode()}
    data |= {f"foreground_{name}": value for name, value in _foreground(outcome).items()}
    return as_json({"data": data}, headers | {"Vary": "Accept"})


def _whole(credits: float) -> int | float:
    """4943, not 4943.0: clients show it as it stands."""
    return int(credits) if credits == int(credits) else credits
