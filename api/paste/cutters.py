"""Who cuts: the networks of this process, or a service elsewhere."""

import httpx

from api.options import CutoutOptions
from api.paste.types import PasteFailed
from api.pipeline import Job, Pipeline
from api.types import Deadline


class PipelineCutter:
    """Cuts in this process."""

    def __init__(self, pipeline: Pipeline, model: str) -> None:
        self._pipeline = pipeline
        self._options = CutoutOptions(model=model, format="png")

    async def wake(self) -> None:
        """The pipeline is open, or this would not be."""

    async def cut(self, photo: bytes, deadline: Deadline) -> bytes:
        """See Cutter."""
        outcome = await self._pipeline.remove_background(Job(photo, self._options), deadline)
        return outcome.encoded.body


class ServiceCutter:
    """Cuts by POST /v1/cutouts of an OBJECT CUT service. key: what it wants to be shown, if anything."""

    def __init__(self, client: httpx.AsyncClient, url: str, model: str, key: str | None = None) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._query = {"model": model, "format": "png"}
        self._headers = {"Accept": "image/png", "Content-Type": "application/octet-stream"}
        if key:
            self._headers["X-Api-Key"] = key

    async def wake(self) -> None:
        """See Cutter."""
        answer = await self._send("GET", "/healthz", timeout=10.0)
        if not answer.is_success:
            raise PasteFailed(f"the service at {self._url} is not well: status {answer.status_code}")

    async def cut(self, photo: bytes, deadline: Deadline) -> bytes:
        """See Cutter."""
        answer = await self._send(
            "POST",
            "/v1/cutouts",
            params=self._query,
            content=photo,
            headers=self._headers,
            timeout=max(0.1, deadline.remaining()),
        )
        if answer.status_code != 200:
            raise PasteFailed(_reason(answer))
        return answer.content

    async def _send(self, method: str, path: str, **request: object) -> httpx.Response:
        try:
            return await self._client.request(method, self._url + path, **request)  # type: ignore[arg-type]
        except httpx.HTTPError as exc:
            raise PasteFailed(f"the service at {self._url} does not answer: {type(exc).__name__}") from exc


def _reason(answer: httpx.Response) -> str:
    """What the service said, from its problem+json."""
    try:
        problem = answer.json()
        return str(problem["detail"] or problem["title"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered with status {answer.status_code}"
