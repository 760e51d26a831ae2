"""Results in a bucket that speaks S3 (Amazon's, MinIO, Cloudflare R2), through Amazon's own client.

An object's metadata say when it was last put: its life is counted from there. Putting it again copies it onto
itself, which is fresh to the bucket, too: its lifecycle rule (`ensure_lifecycle`) counts from then on, and is
what removes it in the end. Importing this module imports boto3; open_store does so only for `kind=s3`.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import md5
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.parsers import ResponseParserError

from api.breaker import Breaker
from api.errors import NotFound
from api.storage.attempts import Attempts
from api.storage.config import S3Config
from api.storage.served import checked, link_end, put_time
from api.types import Deadline, Encoded, Link, StoredObject

T = TypeVar("T")

_TRANSIENT_CODES = {408, 409, 429, 500, 502, 503, 504}
_TRANSIENT_NAMES = {"BadDigest", "RequestTimeout"}  # with status 400, though trying again helps
_CACHE_CONTROL = "private, max-age=300"
"""Caches may not outlive a delete by more than this."""


class S3Store:
    """See Store. Each try of an operation is bounded by config.try_seconds, all of them by the deadline.

    Puts are create-only, so trying them again is safe. ttl_seconds: life of an object since it was last
    put. clock: seconds since 1970. session: whose credentials are used, by default the configured ones.
    Raises ValueError when there are none.
    """

    def __init__(
        self,
        config: S3Config,
        *,
        ttl_seconds: float = 3 * 86_400,
        clock: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
        session: boto3.Session | None = None,
    ) -> None:
        self._config = config
        self._ttl = timedelta(seconds=ttl_seconds)
        self._clock = clock
        session = session or open_session(config)
        self._client = _client(session, config, config.endpoint)
        self._signer = self._client
        if config.link_endpoint:
            self._signer = _client(session, config, config.link_endpoint)
        self._attempts = Attempts(
            config,
            "s3-store",
            failures=(BotoCoreError, ClientError, ResponseParserError),
            transient=_is_transient,
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
        return await self._run(partial(self._put, checked(key), item, dict(facts), life), deadline, "storing")

    async def find(self, key: str, *, deadline: Deadline) -> StoredObject:
        return await self._run(partial(self._find, checked(key)), deadline, "finding")

    async def read(self, key: str, *, deadline: Deadline) -> tuple[bytes, str]:
        return await self._run(partial(self._read, checked(key)), deadline, "reading")

    async def delete(self, key: str, *, deadline: Deadline) -> None:
        # Once only: after a lost answer, a second try could not tell "already gone" from "never there".
        await self._run(partial(self._delete, checked(key)), deadline, "deleting", tries=1)

    async def ensure_lifecycle(self, days: int, *, deadline: Deadline) -> bool:
        """Makes the bucket remove objects `days` after they were last put; says whether that was news.

        Replaces our own rule and leaves every other rule of the bucket alone. S3 knows no condition for
        this: whoever changes the bucket's rules at the same moment may be undone. Raises ValueError when
        objects would go before their life is over; StoreUnavailable, DeadlineExceeded.
        """
        if timedelta(days=days) < self._ttl:
            raise ValueError(f"{days} days are less than the life of an object ({self._ttl})")
        return await self._run(partial(self._ensure_lifecycle, days), deadline, "setting the lifecycle")

    async def close(self) -> None:
        await self._attempts.close()
        self._client.close()
        self._signer.close()

    async def _run(
        self, operation: Callable[[], T], deadline: Deadline, stage: str, tries: int | None = None
    ) -> T:
        # The client's timeouts are its own, not a call's: a try that begins late may outlive its caller in
        # its thread, by try_seconds.
        return await self._attempts.run(lambda _: operation(), deadline, stage, tries)

    # What follows runs in threads.

    def _put(self, key: str, item: Encoded, facts: dict[str, str], life: float | None) -> Link:
        now = datetime.fromtimestamp(put_time(self._clock(), self._ttl.total_seconds(), life), UTC)
        write = partial(
            self._client.put_object,
            **self._named(key),
            **self._described(item.media_type, facts, now),
            Body=item.body,
            # Every server checks this one; the newer checksums are not known to all.
            ContentMD5=base64.b64encode(md5(item.body, usedforsecurity=False).digest()).decode(),
        )
        if not (self._config.conditional_puts and _done(write, IfNoneMatch="*")):
            existing = self._head(key)
            if existing is not None and not self._ended(existing):
                self._refresh(key, existing, now)
            elif not self._config.conditional_puts:
                write()
            else:  # where this fails, another writer has just done the same: it is done
                _done(write, **({"IfMatch": existing["ETag"]} if existing else {"IfNoneMatch": "*"}))
        return self._link(key, now)

    def _refresh(self, key: str, existing: Any, now: datetime) -> None:
        # Another host's clock may be ahead of ours: a life only ever gets longer.
        put_at, facts = max(now, _put_at(existing)), _facts(existing)
        _done(
            self._client.copy_object,
            **self._named(key),
            **self._described(existing["ContentType"], facts, put_at),
            CopySource=self._named(key),
            CopySourceIfMatch=existing["ETag"],
            MetadataDirective="REPLACE",
        )

    def _find(self, key: str) -> StoredObject:
        head = self._head(key)
        if head is None or self._ended(head):
            raise NotFound("no such object in the bucket")
        link = self._link(key, _put_at(head))
        return StoredObject(link, head["ContentType"], head["ContentLength"], _facts(head))

    def _read(self, key: str) -> tuple[bytes, str]:
        try:
            found = self._client.get_object(**self._named(key))
        except ClientError as exc:
            if _status(exc) == 404:
                raise NotFound("no such object in the bucket") from exc
            raise
        with found["Body"] as body:
            if self._ended(found):
                raise NotFound("no such object in the bucket")
            return body.read(), found["ContentType"]

    def _delete(self, key: str) -> None:
        # A delete is success on S3 whether there was an object or not.
        if self._head(key) is None:
            raise NotFound("no such object in the bucket")
        self._client.delete_object(**self._named(key))

    def _head(self, key: str) -> Any:
        try:
            return self._client.head_object(**self._named(key))
        except ClientError as exc:
            if _status(exc) == 404:
                return None
            raise

    def _ensure_lifecycle(self, days: int) -> bool:
        ours = f"objectcut {self._config.prefix}"
        wanted = {
            "ID": ours,
            "Status": "Enabled",
            "Filter": {"Prefix": self._config.prefix},
            "Expiration": {"Days": days},
        }
        try:
            known = self._client.get_bucket_lifecycle_configuration(Bucket=self._config.bucket)
        except ClientError as exc:
            # Amazon's NoSuchLifecycleConfiguration; Garage answers with the status alone.
            if _status(exc) != 404 or exc.response["Error"]["Code"] == "NoSuchBucket":
                raise
            known = {"Rules": []}
        rules = known["Rules"]
        if wanted in rules:
            return False
        others = [rule for rule in rules if rule.get("ID") != ours]
        kept = {name: known[name] for name in ("TransitionDefaultMinimumObjectSize",) if name in known}
        self._client.put_bucket_lifecycle_configuration(
            Bucket=self._config.bucket, LifecycleConfiguration={"Rules": [*others, wanted]}, **kept
        )
        return True

    def _link(self, key: str, put_at: datetime) -> Link:
        now = self._clock()
        expires_at = link_end((put_at + self._ttl).timestamp(), now)
        if self._config.public_url:
            return Link(f"{self._config.public_url}/{self._config.prefix}{key}", expires_at)
        seconds = max(1, int(expires_at.timestamp() - now))
        url: str = self._signer.generate_presigned_url(
            "get_object", Params=self._named(key), ExpiresIn=seconds
        )
        return Link(url, expires_at)

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._config.bucket, "Key": f"{self._config.prefix}{key}"}

    def _described(self, media_type: str, facts: dict[str, str], put_at: datetime) -> dict[str, Any]:
        # As one value in ASCII: metadata travel in headers, which do not carry every text.
        return {
            "ContentType": media_type,
            "CacheControl": _CACHE_CONTROL,
            "Metadata": {"facts": json.dumps(facts), "put-at": put_at.isoformat()},
        }

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _ended(self, head: Any) -> bool:
        return _put_at(head) + self._ttl <= self._now()


def open_session(config: S3Config) -> boto3.Session:
    """With the configured credentials, or those of AWS's chain. Raises ValueError when there are none."""
    secrets = {
        f"aws_{name}": secret.get_secret_value()
        for name in ("access_key_id", "secret_access_key")
        if (secret := getattr(config, name))
    }
    try:
        session = boto3.Session(**secrets, region_name=config.region)
        found = session.get_credentials()
    except BotoCoreError as exc:
        raise ValueError(f"s3: AWS's configuration cannot be used: {exc}") from exc
    if found is None:
        raise ValueError("s3.access_key_id is not set, and AWS's chain has no credentials either")
    return session


def _client(session: boto3.Session, config: S3Config, endpoint: str | None) -> Any:
    options = Config(
        signature_version="s3v4",
        connect_timeout=config.try_seconds,
        read_timeout=config.try_seconds,
        retries={"total_max_attempts": 1},
        max_pool_connections=config.workers,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=endpoint, config=options)


def _done(write: Callable[..., Any], **conditions: Any) -> bool:
    """Whether the write was done, rather than kept from it by its conditions."""
    try:
        write(**conditions)
    except ClientError as exc:
        gone = exc.response["Error"]["Code"] == "NoSuchKey"
        if _status(exc) == 412 or gone:
            return False
        raise
    return True


def _is_transient(exc: Exception) -> bool:
    if isinstance(exc, ClientError):
        return _status(exc) in _TRANSIENT_CODES or exc.response["Error"]["Code"] in _TRANSIENT_NAMES
    return isinstance(exc, (HTTPClientError, ResponseParserError))


def _status(exc: ClientError) -> int:
    status: int = exc.response["ResponseMetadata"]["HTTPStatusCode"]
    return status


def _facts(head: Any) -> dict[str, str]:
    facts: dict[str, str] = json.loads(head["Metadata"].get("facts", "{}"))
    return facts


def _put_at(head: Any) -> datetime:
    put_at = head["Metadata"].get("put-at")
    modified: datetime = head["LastModified"]
    return datetime.fromisoformat(put_at) if put_at else modified
