"""The server that ar-cutpaste's phone application talks to: /ping, /cut and /paste.

It serves one person: the cutout of the last /cut is what the next /paste puts down.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from api import problems
from api.errors import InvalidOptions
from api.limits import RequestLimits
from api.paste.match import find_place
from api.paste.types import Cutter, Paste, PasteFailed, Screen, Target
from api.problems import headers_of
from api.turns import Turns
from api.types import Deadline, Decoder
from api.uploads import read_upload

NOT_FOUND = "screen not found"
_AT_ONCE, _PATIENCE = 2, 20.0

logger = logging.getLogger("objectcut.paste")

Work = Callable[[bytes, Deadline], Awaitable[Response]]


class PasteServer:
    """Cuts what the phone sees and puts it where the phone points.

    decoder: of the phone's photos. targets: where a cutout lands, all of them, in this order.
    """

    def __init__(
        self,
        cutter: Cutter,
        decoder: Decoder,
        screen: Screen,
        targets: Sequence[Target],
        limits: RequestLimits,
    ) -> None:
        self._cutter, self._decoder, self._screen, self._targets = cutter, decoder, screen, targets
        self._limits = limits
        self._turns = Turns(_AT_ONCE, _PATIENCE)
        self._cutout: bytes | None = None

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/", self.hello),
            Route("/ping", self.ping),
            Route("/cut", self.cut, methods=["POST"]),
            Route("/paste", self.paste, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _failure})

    async def hello(self, _: Request) -> Response:
        """What the application shows when it is told where to find us."""
        return PlainTextResponse("Hello AR Cut Paste!")

    async def ping(self, _: Request) -> Response:
        """Wakes who cuts, so that the first /cut need not wait for that."""
        try:
            await self._cutter.wake()
        except PasteFailed as exc:
            return _error(str(exc), 502)
        return PlainTextResponse("pong")

    async def cut(self, request: Request) -> Response:
        """The subject of the photo in `data`, as a PNG with transparency; it is kept for /paste."""
        return await self._answer(request, self._cut)

    async def paste(self, request: Request) -> Response:
        """Finds the screen in the photo in `data`, and puts the last cutout where its middle is."""
        return await self._answer(request, self._paste)

    async def _answer(self, request: Request, work: Work) -> Response:
        if "origin" in request.headers:  # any page in this machine's browser could send forms here
            return _error("web pages may not use this server", 403)
        deadline = Deadline.after(self._limits.timeout)
        try:
            upload = await read_upload(request, self._limits, deadline)
            async with self._turns.turn():
                return await work(upload.file("data"), deadline)
        except PasteFailed as exc:
            logger.warning("%s: %s", request.url.path, exc)
            return _error(str(exc), 502)
        except Exception as exc:
            return await _failure(request, exc)

    async def _cut(self, photo: bytes, deadline: Deadline) -> Response:
        self._cutout = await self._cutter.cut(photo, deadline)
        return Response(self._cutout, media_type="image/png")

    async def _paste(self, photo: bytes, deadline: Deadline) -> Response:
        png = self._cutout
        if png is None:
            raise InvalidOptions(public="nothing has been cut out yet")
        view = await self._decoder.decode(photo, deadline=deadline)
        screen = await asyncio.to_thread(self._screen.grab)
        place = await asyncio.to_thread(find_place, view.rgb, screen)
        if place is None:
            return JSONResponse({"status": NOT_FOUND})
        picture = await self._decoder.decode(png, deadline=deadline)
        paste = Paste(png, picture, place.x, place.y, (screen.shape[1], screen.shape[0]))
        pasted = [await target.paste(paste) for target in self._targets]
        logger.info("pasted at %.0f, %.0f: %s", place.x, place.y, ", ".join(pasted))
        where = {"x": round(place.x), "y": round(place.y), "pasted": pasted}
        return JSONResponse({"status": "ok"} | where)


def _error(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"status": "error", "error": text}, status, headers)


async def _failure(request: Request, exc: Exception) -> Response:
    """What is wrong with the request is a 400 to this application, whatever it is to others."""
    error = problems.as_problem(exc)
    if error.report:
        logger.error("%s: %s", request.url.path, error, exc_info=exc)
    own = (404, 405, 413, 429)
    status = error.status if error.status >= 500 or error.status in own else 400
    return _error(error.public, status, headers_of(error))
