import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from google.oauth2.credentials import Credentials as UserCredentials
from google.oauth2.service_account import Credentials as ServiceAccount

from api.breaker import Breaker
from api.errors import DeadlineExceeded, NotFound, StoreUnavailable
from api.storage import ServedStore, StoreConfig, open_store
from api.storage.config import GcsConfig
from api.storage.gcs import GcsStore, signing_arguments
from api.types import Deadline, Store
from tests.api.storage.gcs_server import BUCKET, Fault, GcsServer, write_service_account
from tests.contract.store import DAY, TTL, Clock, Make, StoreContract, key_of, picture, soon

Account = tuple[Path, rsa.RSAPublicKey]
Open = Callable[..., GcsStore]


@pytest.fixture
def server() -> Iterator[GcsServer]:
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="module")
def account_key(tmp_path_factory: pytest.TempPathFactory) -> Account:
    path = tmp_path_factory.mktemp("account") / "template.json"
    return path, write_service_account(path, "TOKEN-ENDPOINT")


@pytest.fixture
def open_gcs(
    server: GcsServer, account_key: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Open:
    # Google's credentials look up regional boundaries at googleapis.com in the background: not from here.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    credentials = tmp_path / "account.json"
    credentials.write_text(account_key[0].read_text().replace("TOKEN-ENDPOINT", server.endpoint))

    def opened(
        clock: Callable[[], float] = time.time,
        ttl_seconds: float = TTL,
        breaker: Breaker | None = None,
        **options: Any,
    ) -> GcsStore:
        config = GcsConfig(bucket=BUCKET, endpoint=server.endpoint, credentials_file=credentials, **options)
        return GcsStore(config, ttl_seconds=ttl_seconds, clock=clock, breaker=breaker)

    return opened


@pytest.fixture
async def store(open_gcs: Open) -> AsyncIterator[GcsStore]:
    store = open_gcs()
    yield store
    await store.close()


async def had(url: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url)


class TestGcsStore(StoreContract):
    @pytest.fixture
    def make(self, clock: Clock, open_gcs: Open) -> Make:
        return lambda ttl: open_gcs(clock, ttl)

    async def open_link(self, store: Store, url: str) -> tuple[bytes, str]:
        response = await had(url)
        return response.raise_for_status().content, response.headers["Content-Type"]


# Faults: the server's script, and what comes of it


RIDDEN_OUT: list[Any] = [
    pytest.param([503, 503], id="503 twice"),
    pytest.param([429], id="429"),
    pytest.param([408], id="408"),
    pytest.param([500, 502], id="500 and 502"),
    pytest.param([504], id="504"),
    pytest.param(["reset", "reset"], id="connection reset twice"),
    pytest.param(["lost"], id="done, and the answer lost"),
    pytest.param(["stall"], id="stalled once"),
    pytest.param(["lost", 503], id="lost, then 503 where the life is renewed"),
]


@pytest.mark.parametrize("script", RIDDEN_OUT)
async def test_put_rides_out(server: GcsServer, open_gcs: Open, script: list[Fault]) -> None:
    store = open_gcs(try_seconds=2 if "stall" in script else 20)
    server.script.extend(script)
    link = await store.put(key_of("a"), picture(b"bytes"), facts={"n": "1"}, deadline=soon())
    assert (await had(link.url)).content == b"bytes"
    found = await store.find(key_of("a"), deadline=soon())
    assert dict(found.facts) == {"n": "1"}
    await store.close()


GIVEN_UP: list[Any] = [
    pytest.param([503] * 3, 3, id="503 three times"),
    pytest.param([429] * 3, 3, id="429 three times"),
    pytest.param(["reset"] * 3, 3, id="reset three times"),
    pytest.param([403], 1, id="403: no permission"),
    pytest.param([404], 1, id="404: no such bucket"),
    pytest.param([400], 1, id="400"),
]


@pytest.mark.parametrize(("script", "tries"), GIVEN_UP)
async def test_put_gives_up(server: GcsServer, store: GcsStore, script: list[Fault], tries: int) -> None:
    server.script.extend(script)
    with pytest.raises(StoreUnavailable) as refused:
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    assert (refused.value.code, refused.value.status) == ("storage_unavailable", 503)
    assert refused.value.retry_after is not None
    assert len(server.requests) == tries
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())


async def test_find_tries_again_and_delete_does_not(server: GcsServer, store: GcsStore) -> None:
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    server.script.extend([503, "reset"])
    await store.find(key_of("a"), deadline=soon())
    server.script.extend([503])
    with pytest.raises(StoreUnavailable):
        await store.delete(key_of("a"), deadline=soon())
    await store.delete(key_of("a"), deadline=soon())


async def test_upload_that_arrives_damaged_is_refused(server: GcsServer, store: GcsStore) -> None:
    server.script.append("garbled")
    with pytest.raises(StoreUnavailable):
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    with pytest.raises(NotFound):
        await store.find(key_of("a"), deadline=soon())


async def test_every_upload_is_create_only(server: GcsServer, store: GcsStore) -> None:
    server.script.extend([503])
    await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    await store.put(key_of("b"), picture(bytes(9_000_000)), facts={}, deadline=soon())
    uploads = [request for request in server.requests if request.startswith("POST")]
    assert len(uploads) == 3
    assert all("ifGenerationMatch=0" in upload for upload in uploads)


# Servers that hang


async def test_stalled_server_costs_the_deadline_and_no_further_thread(
    server: GcsServer, open_gcs: Open
) -> None:
    store = open_gcs(workers=3)
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
    return sum("gcs-store" in thread.name for thread in threading.enumerate())


async def test_a_try_ends_long_before_the_deadline(server: GcsServer, open_gcs: Open) -> None:
    store = open_gcs(try_seconds=0.2, tries=2)
    server.script.extend(["stall"] * 2)
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.put(key_of("a"), picture(), facts={}, deadline=Deadline.after(60))
    assert time.monotonic() - began < 30
    await store.close()


async def test_breaker_answers_at_once_while_the_server_is_down(server: GcsServer, open_gcs: Open) -> None:
    store = open_gcs(breaker=Breaker(StoreUnavailable, threshold=5, pause=60))
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


async def test_signed_url_is_v4_and_verifies(store: GcsStore, account_key: Account) -> None:
    link = await store.put(key_of("a"), picture(), facts={}, deadline=soon())
    url = urlsplit(link.url)
    query = dict(parse_qsl(url.query))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    assert query["X-Goog-Algorithm"] == "GOOG4-RSA-SHA256"
    assert 0 <= TTL - int(query["X-Goog-Expires"]) <= 60
    # https://cloud.google.com/storage/docs/authentication/canonical-requests
    canonical_query = "&".join(f"{quote(k, '')}={quote(v, '')}" for k, v in sorted(query.items()))
    canonical = f"GET\n{url.path}\n{canonical_query}\nhost:{url.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = query["X-Goog-Credential"].partition("/")[2]
    digest = sha256(canonical.encode()).hexdigest()
    signed = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{digest}"
    account_key[1].verify(signature, signed.encode(), padding.PKCS1v15(), SHA256())


async def test_public_url_is_plain(server: GcsServer, open_gcs: Open) -> None:
    store = open_gcs(public=True, prefix="a/b/")
    link = await store.put(key_of("a"), picture(b"bytes"), facts={}, deadline=soon())
    assert link.url == f"{server.endpoint}/{BUCKET}/a/b/{key_of('a')}"
    assert (await had(link.url)).content == b"bytes"
    assert link.expires_at is not None
    await store.close()


def test_credentials_without_a_private_key_sign_through_iam(account_key: Account) -> None:
    class OfAMachine(UserCredentials):
        service_account_email = "machine@project.test"

    signing = ServiceAccount.from_service_account_file(str(account_key[0]))  # type: ignore[no-untyped-call]
    machine = OfAMachine("t0ken")  # type: ignore[no-untyped-call]
    assert signing_arguments(signing) == {}
    assert signing_arguments(machine) == {
        "service_account_email": "machine@project.test",
        "access_token": "t0ken",
    }


# Life


async def test_clock_of_another_host_ahead_of_ours(open_gcs: Open) -> None:
    ahead, ours = Clock(), Clock()
    ahead.now += 30
    for clock in (ahead, ours):
        store = open_gcs(clock)
        await store.put(key_of("a"), picture(), facts={}, deadline=soon())
        await store.close()
    ours.now += TTL + 29
    store = open_gcs(ours)
    await store.find(key_of("a"), deadline=soon())
    await store.close()


OTHERS = {"action": {"type": "Delete"}, "condition": {"age": 365}}
ANOTHER_PREFIX = {
    "action": {"type": "Delete"},
    "condition": {"daysSinceCustomTime": 9, "matchesPrefix": ["x/"]},
}


def ours(days: int) -> dict[str, Any]:
    return {
        "action": {"type": "Delete"},
        "condition": {"daysSinceCustomTime": days, "matchesPrefix": ["cutouts/"]},
    }


RULES: list[Any] = [
    pytest.param([], True, [ours(4)], id="none yet"),
    pytest.param([ours(4)], False, [ours(4)], id="there already"),
    pytest.param([ours(9)], True, [ours(4)], id="with other days"),
    pytest.param([ours(4), ours(9)], True, [ours(4)], id="twice"),
    pytest.param(
        [OTHERS, ANOTHER_PREFIX], True, [OTHERS, ANOTHER_PREFIX, ours(4)], id="beside the rules of others"
    ),
]


@pytest.mark.parametrize(("before", "changed", "after"), RULES)
async def test_lifecycle(
    server: GcsServer, store: GcsStore, before: list[Any], changed: bool, after: list[Any]
) -> None:
    bucket = server.storage.buckets[BUCKET]
    bucket["lifecycle"] = {"rule": before}
    assert await store.ensure_lifecycle(4, deadline=soon()) is changed
    assert bucket["lifecycle"]["rule"] == after


async def test_lifecycle_shorter_than_the_objects_life_is_refused(store: GcsStore) -> None:
    await store.ensure_lifecycle(3, deadline=soon())
    with pytest.raises(ValueError, match="less than the life"):
        await store.ensure_lifecycle(2, deadline=soon())


# Opening


async def test_opens_by_configuration(server: GcsServer, account_key: Account) -> None:
    gcs = GcsConfig(bucket=BUCKET, endpoint=server.endpoint, credentials_file=account_key[0])
    store = open_store(StoreConfig(kind="gcs", ttl_seconds=int(DAY), gcs=gcs))
    assert isinstance(store, GcsStore)
    assert not isinstance(store, ServedStore)
    await store.close()


@pytest.mark.parametrize("text", [None, "{}", "no JSON"], ids=["no file", "no key", "no JSON"])
def test_unusable_credentials_are_refused_at_the_start(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "account.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match="credentials_file"):
        GcsStore(GcsConfig(bucket=BUCKET, credentials_file=path))
