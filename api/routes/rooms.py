"""/v1/rooms: a phone's cutout onto the page that showed it a code, at the place that it points at."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import segno
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from api import sse
from api.errors import InvalidOptions, NoSubject
from api.limits import Gate, while_connected
from api.middleware import exchange_of
from api.once import note
from api.openapi import LANDED, ROOM_EVENTS, SEND_CUTOUT, SHOW_SCREEN
from api.paste.match import find_place
from api.paste.targets import subject_of
from api.paste.types import PasteFailed
from api.pipeline import Pipeline
from api.rooms import Landed, Room, Rooms
from api.routes.native import SANDBOX
from api.stopwatch import Stopwatch
from api.types import Deadline, Decoder, Picture
from api.uploads import Upload, read_upload
from postprocess.encode import encode

_SPACE = (2400, 2400)
"""px: a cutout takes at most half of each side (api.paste.targets.LARGEST_SHARE)."""


class OpenRoom(BaseModel):
    """A room, as the page that asked for it sees it."""

    id: str = Field(description="For the page alone: who knows it sees what arrives.")
    code: str = Field(description="For the phone: who knows it may send.")
    link: str = Field(description="Leads a phone into the room.")
    qr: str = Field(description="The link as a QR code: a `data:` URI of an SVG picture.")
    expires_in: float = Field(description="Seconds until the room ends.")


def routes(
    rooms: Rooms, pipeline: Pipeline, decoder: Decoder, gate: Gate, draining: Callable[[], bool]
) -> APIRouter:
    """The router of /v1/rooms. draining: whether the process is ending."""
    router = APIRouter(prefix="/v1/rooms", tags=["rooms"])

    @router.post("", status_code=201, response_model=OpenRoom)
    async def open_room(
        request: Request,
        page: Annotated[
            str, Query(pattern=r"^https?://[!-\"$-~]{1,200}$", description="The page's address; see `link`.")
        ],
    ) -> Response:
        """Opens a room, which ends by itself."""
        visit = await gate.admit(request)
        await note(request, dict(request.query_params), {})
        room = rooms.open(visit.caller.bucket)
        link = f"{page.rstrip('/')}/phone.html#{room.code}"
        qr = segno.make(link, error="m", micro=False).svg_data_uri(border=3, light="#fff")
        body = OpenRoom(id=room.id, code=room.code, link=link, qr=qr, expires_in=rooms.config.life)
        return _json(body, 201)

    @router.delete("/{id}", status_code=204)
    async def close_room(id: str, request: Request) -> Response:
        """Ends a room; all that it holds is deleted."""
        await gate.admit(request)
        rooms.close(rooms.find(id))
        return Response(status_code=204)

    @router.post("/{id}/screen", status_code=204, openapi_extra=SHOW_SCREEN)
    async def show_screen(id: str, request: Request) -> Response:
        """Tells what the page's canvas shows, so that a photo of it can be recognised."""
        visit = await gate.admit(request)
        room = rooms.find(id)
        upload = await read_upload(request, gate.limits, visit.deadline)
        _only(upload, "image")
        room.show(upload.file("image"))
        return Response(status_code=204)

    @router.get("/{id}/events", response_class=Response, responses=ROOM_EVENTS)
    async def room_events(id: str, request: Request) -> Response:
        """What arrives, as server-sent events."""
        await gate.admit(request)
        room = rooms.find(id)
        exchange_of(request).held.close()  # it lasts, and holds none of the places that requests need
        return StreamingResponse(room.events(draining), headers=sse.HEADERS, media_type="text/event-stream")

    @router.get("/{id}/cutouts/{number}", response_class=Response, responses=LANDED)
    async def take_cutout(id: str, number: int, request: Request) -> Response:
        """The PNG of a cutout that has arrived, once: then it is deleted."""
        await gate.admit(request)
        body = rooms.find(id).take(number)
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": SANDBOX}
        return Response(body, headers=headers, media_type="image/png")

    @router.post("/{code}/cutouts", status_code=201, response_model=Landed, openapi_extra=SEND_CUTOUT)
    async def send_cutout(code: str, request: Request) -> Response:
        """Sends a cutout into a room, and with it a photo of the screen: its middle is where it lands."""
        visit = await gate.admit(request)
        room = rooms.enter(code)
        upload = await read_upload(request, gate.limits, visit.deadline)
        _only(upload, "image", "view")
        work = _land(upload, room, pipeline, decoder, visit.deadline)
        return _json(await while_connected(request, work), 201)

    return router


async def _land(
    upload: Upload, room: Room, pipeline: Pipeline, decoder: Decoder, deadline: Deadline
) -> Landed:
    """Raises ObjectCutError. Pictures are decoded where all strangers' are."""
    stage, screen = Stopwatch(), room.screen
    async with stage.within(deadline), pipeline.turns.turn():
        cutout = await stage("decode", decoder.decode(upload.file("image"), deadline=deadline))
        png = await stage("encode", asyncio.to_thread(_subject, cutout))
        place = None
        if screen and (view := upload.files.get("view")):
            seen = await stage("decode", decoder.decode(view, deadline=deadline))
            shown = await stage("decode", decoder.decode(screen, deadline=deadline))
            place = await stage("match", asyncio.to_thread(find_place, seen.rgb, shown.rgb))
    if place is None:
        return room.land(png, 0.5, 0.5, found=False)
    width, height = shown.size
    return room.land(png, place.x / width, place.y / height, found=True)


def _subject(cutout: Picture) -> bytes:
    try:
        return encode(subject_of(cutout, _SPACE), "png").body
    except PasteFailed as exc:
        raise NoSubject(str(exc)) from exc


def _only(upload: Upload, *names: str) -> None:
    if unknown := sorted({*upload.fields, *upload.files} - set(names)):
        raise InvalidOptions(public=f"{unknown[0][:40]}: unknown")


def _json(body: BaseModel, status: int) -> Response:
    return Response(body.model_dump_json(), status, {"Cache-Control": "no-store"}, "application/json")
