"""GET /: the page for people. Its files are read and packed once, so that no request ever names a file."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from fastapi import APIRouter, Request
from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of everything that a browser shows: nothing inline, nothing from elsewhere."""
MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
_PACKED_ALREADY = frozenset({".jpg"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page.

    path: below `/`, empty for the page itself. packed: body in gzip, where that helps.
    """

    path: str
    media_type: str
    body: bytes
    packed: bytes | None
    etag: str


def assets() -> Iterator[Asset]:
    """Every file of api/web."""
    for name, file in _files(resources.files("api") / "web"):
        suffix, body = PurePosixPath(name).suffix, file.read_bytes()
        packed = None if suffix in _PACKED_ALREADY else gzip.compress(body, mtime=0)
        # Weak: the same for both encodings.
        etag = f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
        yield Asset("" if name == "index.html" else name, MEDIA_TYPES[suffix], body, packed, etag)


def routes() -> APIRouter:
    """A route for each file."""
    router = APIRouter()
    for asset in assets():
        _serve(router, asset)
    return router


def _serve(router: APIRouter, asset: Asset) -> None:
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",  # asked for each time, answered 304: a new version is seen at once
        "ETag": asset.etag,
        "Vary": "Accept-Encoding",
    }

    async def answer(request: Request) -> Response:
        if asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if asset.packed and "gzip" in request.headers.get("accept-encoding", ""):
            packed = headers | {"Content-Encoding": "gzip"}
            return Response(asset.packed, headers=packed, media_type=asset.media_type)
        return Response(asset.body, headers=headers, media_type=asset.media_type)

    router.add_api_route(f"/{asset.path}", answer, include_in_schema=False)


def _files(folder: Traversable, below: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        name = f"{below}{entry.name}"
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        elif PurePosixPath(name).suffix in MEDIA_TYPES:
            yield name, entry
