"""Results in a Google Cloud Storage bucket, through Google's own client.

An object's custom time is when it was last put: its life is counted from there, by `find` and by the
bucket's lifecycle rule (`ensure_lifecycle`), which is what removes it in the end. Importing this
module imports Google's libraries; open_store does so only for `kind=gcs`.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import google.auth
import requests
from google.api_core import exceptions as answers
from google.auth.credentials import Credentials, Signing
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.bucket import LifecycleRuleDelete
from google.cloud.storage.exceptions import DataCorruption
from google.oauth2.service_account import Credentials as ServiceAccount

from api.breaker import Breaker
from api.errors import NotFound
from api.storage.attempts import Attempts
from api.storage.config import GcsConfig
from api.storage.served import checked, link_end, put_time
from api.types import Deadline, Encoded, Link, StoredObject

_TRANSIENT_CODES = {408, 429, 500, 502, 503, 504}
_FAILURES = (answers.GoogleAPICallError, requests.RequestException, GoogleAuthError, DataCorruption)


class GcsStore:
    """See Store. Each try of an operation is bounded by config.try_seconds, all of them by the deadline.

    Puts are create-only (`if_generation_match=0`), so trying them again is safe. ttl_seconds: life of
    an object since it was last put. clock: seconds since 1970.

    Raises ValueError when there are no usable credentials.
    """

    def __init__(
        self,
        config: GcsConfig,
        *,
        ttl_seconds: float = 3 * 86_400,
        clock: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
    ) -> None:
        self._config = config
        self._ttl = timedelta(seconds=ttl_seconds)
        self._clock = clock
        # Else the client asks for the bucket's metadata in a thread of its own, at each first upload and
        # for up to two minutes, so as to name the bucket in traces that nobody has asked for.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        self._credentials, project = _credentials(config)
        options = {"api_endpoint": config.endpoint} if config.endpoint else None
        self._client = storage.Client(
            project=config.project or project, credentials=self._credentials, client_options=options
        )
        self._bucket = self._client.bucket(config.bucket)
        self._attempts = Attempts(
            config,
            "gcs-store",
            failures=_FAILURES,
            transient=_is_transient,
            timeouts=(requests.Timeout,),
            breaker=breaker,
        )

    async def put(
        self,
        key: str,
        item: Encoded,
        *,
        facts: Mapping[str, str],
        deadline: Deadline,
        life: float | None = None,
    ) -> Link:
        put = partial(self._put, checked(key), item, dict(facts), life)
        return await self._attempts.run(put, deadline, "storing")

    async def find(self, key: str, *, deadline: Deadline) -> StoredObject:
        return await self._attempts.run(partial(self._find, checked(key)), deadline, "finding")

    async def read(self, key: str, *, deadline: Deadline) -> tuple[bytes, str]:
        return await self._attempts.run(partial(self._read, checked(key)), deadline, "reading")

    async def delete(self, key: str, *, deadline: Deadline) -> None:
        # Once only: after a lost answer, a second try could not tell "already gone" from "never there".
        await self._attempts.run(partial(self._delete, checked(key)), deadline, "deleting", tries=1)

    async def ensure_lifecycle(self, days: int, *, deadline: Deadline) -> bool:
        """Makes the bucket remove objects `days` after they were last put; says whether that was news.

        Replaces our own rule and leaves every other rule of the bucket alone. Raises ValueError when
        objects would go before their life is over; StoreUnavailable, DeadlineExceeded.
        """
        if timedelta(days=days) < self._ttl:
            raise ValueError(f"{days} days are less than the life of an object ({self._ttl})")
        return await self._attempts.run(
            partial(self._ensure_lifecycle, days), deadline, "setting the lifecycle"
        )

    async def close(self) -> None:
        await self._attempts.close()
        self._client.close()

    # What follows runs in threads. `timeout` (s) bounds each request to the bucket.

    def _put(
        self, key: str, item: Encoded, facts: dict[str, str], life: float | None, timeout: float
    ) -> Link:
        began = put_time(self._clock(), self._ttl.total_seconds(), life)
        blob, now = self._blob(key), datetime.fromtimestamp(began, UTC)
        # As one value in ASCII: metadata comes back in headers, which do not carry every text.
        blob.metadata, blob.custom_time = {"facts": json.dumps(facts)}, now
        # Caches, Google's and others', may not outlive a delete by more than this.
        blob.cache_control = "private, max-age=300"
        upload = partial(
            blob.upload_from_string,
            item.body,
            item.media_type,
            checksum="crc32c",
            timeout=timeout,
            retry=None,
        )
        try:
            upload(if_generation_match=0)
        except answers.PreconditionFailed:
            existing = self._bucket.get_blob(blob.name, timeout=timeout, retry=None)
            # A second 412 means that another writer has just done the same: it is done.
            with suppress(answers.PreconditionFailed):
                if existing is None or self._ended(existing):
                    upload(if_generation_match=existing.generation if existing else 0)
                else:
                    self._refresh(existing, now, timeout)
        return self._link(blob, now)

    def _refresh(self, existing: Any, now: datetime, timeout: float) -> None:
        # A custom time only ever moves forward, and another host's clock may be ahead of ours.
        existing.custom_time = max(now, _put_at(existing))
        existing.patch(if_metageneration_match=existing.metageneration, timeout=timeout, retry=None)

    def _find(self, key: str, timeout: float) -> StoredObject:
        blob = self._bucket.get_blob(self._blob(key).name, timeout=timeout, retry=None)
        if blob is None or self._ended(blob):
            raise NotFound("no such object in the bucket")
        facts = json.loads((blob.metadata or {}).get("facts", "{}"))
        return StoredObject(self._link(blob, _put_at(blob)), blob.content_type, blob.size, facts)

    def _read(self, key: str, timeout: float) -> tuple[bytes, str]:
        try:
            blob = self._bucket.get_blob(self._blob(key).name, timeout=timeout, retry=None)
            if blob is None or self._ended(blob):
                raise NotFound("no such object in the bucket")
            return blob.download_as_bytes(timeout=timeout, retry=None), blob.content_type
        except answers.NotFound as exc:
            raise NotFound("removed meanwhile") from exc

    def _delete(self, key: str, timeout: float) -> None:
        try:
            self._blob(key).delete(timeout=timeout, retry=None)
        except answers.NotFound as exc:
            raise NotFound("no such object in the bucket") from exc

    def _ensure_lifecycle(self, days: int, timeout: float) -> bool:
        bucket = self._client.get_bucket(self._config.bucket, timeout=timeout, retry=None)
        conditions: dict[str, Any] = {"days_since_custom_time": days}
        if self._config.prefix:
            conditions["matches_prefix"] = [self._config.prefix]
        wanted = LifecycleRuleDelete(**conditions)
        rules = list(bucket.lifecycle_rules)
        others = [rule for rule in rules if _differs_beyond_days(rule, wanted)]
        if wanted in rules and len(others) == len(rules) - 1:
            return False
        bucket.lifecycle_rules = [*others, wanted]
        bucket.patch(if_metageneration_match=bucket.metageneration, timeout=timeout, retry=None)
        return True

    def _link(self, blob: Any, put_at: datetime) -> Link:
        now = self._clock()
        expires_at = link_end((put_at + self._ttl).timestamp(), now)
        if self._config.public:
            return Link(blob.public_url, expires_at)
        seconds = max(1, int(expires_at.timestamp() - now))
        url = blob.generate_signed_url(
            version="v4", expiration=timedelta(seconds=seconds), **signing_arguments(self._credentials)
        )
        return Link(url, expires_at)

    def _blob(self, key: str) -> Any:
        return self._bucket.blob(f"{self._config.prefix}{key}")

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _ended(self, blob: Any) -> bool:
        return _put_at(blob) + self._ttl <= self._now()


def signing_arguments(credentials: Any) -> dict[str, str]:
    """What generate_signed_url needs beside credentials that hold no private key.

    Those of a virtual machine, Cloud Run or GKE sign by a call to Google's IAM API, which wants
    `iam.serviceAccounts.signBlob` on the account itself.
    """
    if isinstance(credentials, Signing):
        return {}
    return {"service_account_email": credentials.service_account_email, "access_token": credentials.token}


def _credentials(config: GcsConfig) -> tuple[Credentials, str | None]:
    scopes = storage.Client.SCOPE
    try:
        if config.credentials_file is None:
            return google.auth.default(scopes=scopes)
        file = str(config.credentials_file)
        found = ServiceAccount.from_service_account_file(file, scopes=scopes)  # type: ignore[no-untyped-call]
    except (GoogleAuthError, OSError, ValueError) as exc:
        raise ValueError(f"gcs.credentials_file, or the default credentials: {exc}") from exc
    return found, found.project_id


def _is_transient(exc: Exception) -> bool:
    if isinstance(exc, answers.GoogleAPICallError):
        return exc.code in _TRANSIENT_CODES
    return isinstance(exc, (requests.RequestException, TransportError, DataCorruption))


def _put_at(blob: Any) -> datetime:
    put_at: datetime = blob.custom_time or blob.time_created
    return put_at


def _differs_beyond_days(rule: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    def without_days(rule: Mapping[str, Any]) -> dict[str, Any]:
        condition = {k: v for k, v in rule["condition"].items() if k != "daysSinceCustomTime"}
        return {"action": rule["action"], "condition": condition}

    return "daysSinceCustomTime" not in rule["condition"] or without_days(rule) != without_days(wanted)
