"""Links to the bucket, through the real Traefik: read from outside, and never written."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from api.storage import S3Config
from api.storage.s3 import S3Store
from tests.api.storage.s3_server import BUCKET, KEY_ID, SECRET, S3Server
from tests.contract.store import key_of, picture, soon
from tests.deploy.edge import TRAEFIK, Edge, edge

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        server.begin()
        yield server


@pytest.fixture(scope="module")
def running(server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    if not TRAEFIK.exists():
        pytest.skip("there is no Traefik for this machine")
    directory = tmp_path_factory.mktemp("edge")
    with edge(directory, STORAGE=server.endpoint, STORAGE_BUCKET=BUCKET) as running:
        yield running


async def stored(server: S3Server, running: Edge) -> str:
    """The link of a picture that a service has put into the bucket."""
    config = S3Config(
        bucket=BUCKET,
        endpoint=server.endpoint,
        link_endpoint=running.secure,
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        conditional_puts=False,
    )
    store = S3Store(config)
    link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    await store.close()
    return link.url


def test_a_link_leads_through_the_edge_to_the_bucket_and_nobody_writes(
    server: S3Server, running: Edge
) -> None:
    link = asyncio.run(stored(server, running))
    assert link.startswith(f"{running.secure}/{BUCKET}/cutouts/")
    with running.client() as http:
        server.requests.clear()
        answer = http.get(link)
        assert (answer.status_code, answer.content) == (200, picture().body)
        assert http.head(link).status_code == 200
        assert [each.split()[0] for each in server.requests] == ["GET", "HEAD"]
        server.requests.clear()
        for method in ("PUT", "POST", "DELETE"):
            assert http.request(method, link, content=b"x").status_code in (404, 502, 503), method
        assert http.get("/v1/models").status_code in (404, 502, 503), "a service's, and there is none"
        assert server.requests == []
    with pytest.raises(httpx.HTTPError):
        httpx.get(running.internal + httpx.URL(link).path).raise_for_status()
