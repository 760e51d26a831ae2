import asyncio
import hmac
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import boto3
import httpx
import pytest

from api.breaker import Breaker
from api.errors import DeadlineExceeded, NotFound, StoreUnavailable
from api.storage import S3Config, ServedStore, StoreConfig, open_store
from api.storage.s3 import S3Store
from api.types import Deadline, Store
from tests.api.storage.s3_server import BUCKET, KEY_ID, SECRET, Fault, S3Server
from tests.contract.store import DAY, TTL, Clock, Make, StoreContract, key_of, picture, soon

Open = Callable[..., S3Store]
KEYS: Any = {"access_key_id": KEY_ID, "secret_access_key": SECRET}


@pytest.fixture(autouse=True)
def _no_credentials_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def server(running: S3Server) -> Iterator[S3Server]:
    running.begin()
    yield running
    running.released.set()


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    """One for all: it reads its 3 MB description of S3 once."""
    return boto3.Session(KEY_ID, SECRET, region_name="us-east-1")


@pytest.fixture
def open_s3(server: S3Server, session: boto3.Session) -> Open:
    def opened(
        clock: Callable[[], float] = time.time,
        ttl_seconds: float = TTL,
        breaker: Breaker | None = None,
        **options: Any,
    ) -> S3Store:
        config = S3Config(bucket=BUCKET, endpoint=server.endpoint, **options)
        return S3Store(config, ttl_seconds=ttl_seconds, clock=clock, breaker=breaker, session=session)

    return opened


@pytest.fixture
async def store(open_s3: Open) -> AsyncIterator[S3Store]:
    store = open_s3()
    yield store
    await store.close()


async def had(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url)


class TestS3Store(StoreContract):
    @pytest.fixture
    def make(self, clock: Clock, open_s3: Open) -> Make:
        return lambda ttl: open_s3(clock, ttl)

    async def open_link(self, store: Store, url: str) -> tuple[bytes, str]:
        response = await had(url)
        return response.raise_for_status().content, response.headers["Content-Type"]


class TestS3StoreWithoutConditions(TestS3Store):
    """On a server that does not know If-None-Match."""

    @pytest.fixture
    def make(self, clock: Clock, open_s3: Open) -> Make:
        return lambda ttl: open_s3(clock, ttl, conditional_puts=False)


# Faults: the server's script, and what comes of it


RIDDEN_OUT: list[Any] = [
    pytest.param([503, 503], id="503 twice"),
    pytest.param([429], id="429"),
    pytest.param([409], id="409: two conditional writes at once"),
    pytest.param([500, 502], id="500 and 502"),
    pytest.param(["reset", "reset"], id="connection reset twice"),
    pytest.param(["lost"], id="done, and the answer lost"),
    pytest.param(["stall"], id="stalled once"),
    pytest.param(["garbled"], id="arrived damaged once"),
    pytest.param(["lost", 503], id="lost, then 503 where the life is renewed"),
]


@pytest.mark.parametrize("script", RIDDEN_OUT)
async def test_put_rides_out(server: S3Server, open_s3: Open, script: list[Fault]) -> None:
    store = open_s3(try_seconds=2 if "stall" in script else 20)
    server.script.extend(script)
    link = await store.put(key_of("a"), picture(b"\x89PNG a"), facts={"n": "1"}, deadline=soon())
    assert (await had(link.url)).content == b"\x89PNG a"
    found = await store.find(key_of("a"), deadline=soon())
    assert dict(found.facts) == {"n": "1"}
    await store.close()


GIVEN_UP: list[Any] = [
    pytest.param([503] * 3, 3, id="503 three times"),
    pytest.param(["reset"] * 3, 3, id="reset three times"),
    pytest.param([403], 1, id="403: no permission"),
    pytest.param([404], 1, id="404: no such bucket"),
    pytest.param([400], 1, id="400"),
    pytest.param([501], 1, id="501: no conditions on this server"),
]


@pytest.mark.parametrize(("script", "tries"), GIVEN_UP)
async def test_put_gives_up(server: S3Server, store: S3Store, script: list[Fault], tries: int) -> None:
    server.script.extend(script)
    with pytest.raises(StoreUnavailable) as refused:
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    assert (refused.value.code, refused.value.status) == ("storage_unavailable", 503)
    assert refused.value.retry_after is not None
    assert len(server.requests) == tries
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())


async def test_upload_that_always_arrives_damaged_is_refused(server: S3Server, store: S3Store) -> None:
    server.script.extend(["garbled"] * 3)
    with pytest.raises(StoreUnavailable, match="BadDigest"):
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    with pytest.raises(NotFound):
        await store.find(key_of("a"), deadline=soon())


async def test_find_tries_again_and_delete_does_not(server: S3Server, store: S3Store) -> None:
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    server.script.extend([503, "reset"])
    await store.find(key_of("a"), deadline=soon())
    server.script.extend(["ok", 503])
    with pytest.raises(StoreUnavailable):
        await store.delete(key_of("a"), deadline=soon())
    await store.delete(key_of("a"), deadline=soon())


async def test_every_upload_is_create_only(server: S3Server, store: S3Store) -> None:
    server.script.extend([503])
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    await store.put(key_of("b"), picture(bytes(9_000_000)), facts={}, deadline=soon())
    assert [request.split()[0] + request.split()[2] for request in server.requests] == ["PUT*"] * 3


async def test_renewal_that_another_writer_overtakes_is_success(server: S3Server, store: S3Store) -> None:
    link = await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    server.script.extend(["ok", "ok", 412])  # put, head, and the copy finds another object than head did
    await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    assert (await had(link.url)).content == b"bytes"


# Servers that hang


async def test_stalled_server_costs_the_deadline_and_no_further_thread(
    server: S3Server, open_s3: Open
) -> None:
    store = open_s3(workers=3, try_seconds=30)
    server.script.extend(["stall"] * 30)
    attempts = [
        store.put(key_of(str(n)), picture(), facts={}, deadline=Deadline.after(0.3)) for n in range(12)
    ]
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} <= {DeadlineExceeded, StoreUnavailable}
    assert threads() <= 3
    server.script.clear()
    server.released.set()
    await store.put(key_of("next"), picture(), facts={}, deadline=soon())
    await store.close()
    assert threads() == 0


def threads() -> int:
    return sum("s3-store" in thread.name for thread in threading.enumerate())


async def test_a_try_ends_long_before_the_deadline(server: S3Server, open_s3: Open) -> None:
    store = open_s3(try_seconds=0.2, tries=2)
    server.script.extend(["stall"] * 2)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.put(key_of("a"), picture(), facts={}, deadline=Deadline.after(60))
    assert time.monotonic() - began < 30
    await store.close()


async def test_breaker_answers_at_once_while_the_server_is_down(server: S3Server, open_s3: Open) -> None:
    store = open_s3(breaker=Breaker(StoreUnavailable, threshold=5, pause=60))
    server.script.extend([503] * 6)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    seen = len(server.requests)
    with pytest.raises(StoreUnavailable, match="open after 6 failures"):
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    assert len(server.requests) == seen
    await store.close()


# Links


async def test_signed_url_is_v4_and_verifies(store: S3Store) -> None:
    link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    url = urlsplit(link.url)
    query = dict(parse_qsl(url.query))
    signature = query.pop("X-Amz-Signature")
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert 0 <= TTL - int(query["X-Amz-Expires"]) <= 60
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    canonical_query = "&".join(f"{quote(k, '')}={quote(v, '')}" for k, v in sorted(query.items()))
    canonical = f"GET\n{url.path}\n{canonical_query}\nhost:{url.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = query["X-Amz-Credential"].partition("/")[2]
    digest = sha256(canonical.encode()).hexdigest()
    signed = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{digest}"
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    assert hmac.digest(key, signed.encode(), "sha256").hex() == signature


async def test_links_lead_to_the_endpoint_of_the_clients(open_s3: Open) -> None:
    store = open_s3(link_endpoint="https://cdn.test")
    link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    assert link.url.startswith(f"https://cdn.test/{BUCKET}/cutouts/{key_of('a')}?")
    await store.close()


async def test_public_url_is_plain(server: S3Server, open_s3: Open) -> None:
    store = open_s3(public_url=f"{server.endpoint}/{BUCKET}", prefix="a/b/")
    link = await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    assert link.url == f"{server.endpoint}/{BUCKET}/a/b/{key_of('a')}"
    assert link.expires_at is not None
    await store.close()


async def test_caches_keep_an_object_no_longer_than_minutes(store: S3Store) -> None:
    for _ in range(2):  # created, renewed
        link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        assert (await had(link.url)).headers["Cache-Control"] == "private, max-age=300"


# Life


async def test_clock_of_another_host_ahead_of_ours(open_s3: Open) -> None:
    ahead, ours = Clock(), Clock()
    ahead.now += 30
    for clock in (ahead, ours):
        store = open_s3(clock)
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        await store.close()
    ours.now += TTL + 29
    store = open_s3(ours)
    await store.find(key_of("a"), deadline=soon())
    await store.close()


def rule(name: str, prefix: str, days: int) -> dict[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, "Expiration": {"Days": days}}


OURS = "objectcut cutouts/"
RULES: list[Any] = [
    pytest.param([], True, [rule(OURS, "cutouts/", 4)], id="none yet"),
    pytest.param([rule(OURS, "cutouts/", 4)], False, [rule(OURS, "cutouts/", 4)], id="there already"),
    pytest.param([rule(OURS, "cutouts/", 9)], True, [rule(OURS, "cutouts/", 4)], id="with other days"),
    pytest.param(
        [rule("x", "x/", 9)], True, [rule("x", "x/", 9), rule(OURS, "cutouts/", 4)], id="beside others'"
    ),
]


@pytest.mark.parametrize(("before", "changed", "after"), RULES)
async def test_lifecycle(
    server: S3Server,
    session: boto3.Session,
    store: S3Store,
    before: list[Any],
    changed: bool,
    after: list[Any],
) -> None:
    admin = session.client("s3", endpoint_url=server.endpoint)
    if before:
        admin.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": before})
    assert await store.ensure_lifecycle(4, deadline=soon()) is changed
    assert admin.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == after
    admin.close()


async def test_a_server_that_says_only_by_its_status_that_there_is_no_lifecycle(
    server: S3Server, store: S3Store
) -> None:
    server.script.append(404)
    assert await store.ensure_lifecycle(4, deadline=soon()) is True
    assert await store.ensure_lifecycle(4, deadline=soon()) is False


async def test_no_lifecycle_without_a_bucket(server: S3Server, session: boto3.Session) -> None:
    store = S3Store(S3Config(bucket="nobodys", endpoint=server.endpoint), ttl_seconds=TTL, session=session)
    with pytest.raises(StoreUnavailable):
        await store.ensure_lifecycle(4, deadline=soon())
    await store.close()


async def test_lifecycle_shorter_than_the_objects_life_is_refused(store: S3Store) -> None:
    await store.ensure_lifecycle(3, deadline=soon())
    with pytest.raises(ValueError, match="less than the life"):
        await store.ensure_lifecycle(2, deadline=soon())


# Opening


async def test_opens_by_configuration(server: S3Server) -> None:
    s3 = S3Config(bucket=BUCKET, endpoint=server.endpoint, **KEYS)
    store = open_store(StoreConfig(kind="s3", ttl_seconds=int(DAY), s3=s3))
    assert isinstance(store, S3Store)
    assert not isinstance(store, ServedStore)
    await store.close()


def test_missing_credentials_are_told_at_the_start() -> None:
    with pytest.raises(ValueError, match="access_key_id"):
        S3Store(S3Config(bucket=BUCKET))


def test_missing_library_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "api.storage.s3")
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ValueError, match=r"objectcut\[s3\]"):
        open_store(StoreConfig(kind="s3", s3=S3Config(bucket=BUCKET, **KEYS)))
