"""Links that expire and that nobody else can make: HMAC-SHA256 over method, path and expiry."""

import fcntl
import hmac
import os
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from api.errors import Forbidden

MAX_LINK_SECONDS = 7 * 86_400
"""No link outlives a week: Google's limit for V4 signed URLs, and ours everywhere."""

_EXPIRES = re.compile(r"[0-9]{1,12}")


class UrlSigner:
    """Signs and verifies links to this service.

    keys: the first signs, all verify, so that a new key can be put in front while old links live on.
    base_url: what clients reach the service under, without a slash at the end.
    clock: seconds since 1970; links are read by people's clocks, not by the monotonic one.
    """

    def __init__(
        self, keys: Sequence[bytes], base_url: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        if not keys or not all(keys):
            raise ValueError("a signer needs at least one key, and none may be empty")
        self._keys = tuple(keys)
        self._base_url = base_url
        self._clock = clock

    def sign(self, path: str, expires_at: datetime) -> str:
        """The URL of `path` (absolute, as the service itself sees it), good for GET until `expires_at`.

        Raises ValueError beyond MAX_LINK_SECONDS.
        """
        expires = int(expires_at.timestamp())
        if expires > self._clock() + MAX_LINK_SECONDS:
            raise ValueError("a link lives 7 days at most")
        query = {"expires": expires, "signature": _signature(self._keys[0], path, str(expires))}
        return f"{self._base_url}{path}?{urlencode(query)}"

    def verify(self, path: str, query: Mapping[str, str]) -> None:
        """Returns when the link is ours, unaltered and alive; raises Forbidden otherwise."""
        expires, given = query.get("expires", ""), query.get("signature", "")
        if not _EXPIRES.fullmatch(expires):
            raise Forbidden("link without a sound expiry")
        matches = [
            hmac.compare_digest(_signature(key, path, expires).encode(), given.encode("utf-8", "replace"))
            for key in self._keys
        ]
        if not any(matches):
            raise Forbidden("link with a wrong signature")
        if int(expires) <= self._clock():
            raise Forbidden("link has expired")


def _signature(key: bytes, path: str, expires: str) -> str:
    """43 characters. `expires` is digits only, so that no two (path, expires) give the same message."""
    mac = hmac.digest(key, f"GET\n{path}\n{expires}".encode("utf-8", "replace"), "sha256")
    return urlsafe_b64encode(mac).rstrip(b"=").decode()


def kept_key(path: Path) -> bytes:
    """The key in the file `path`, made there (random, mode 0600) when there is none yet.

    The lock makes processes that start together agree on one key, and a key that a crash cut short
    is replaced.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        key = file.read()
        if len(key) != 64:
            key = secrets.token_hex(32).encode()
            file.seek(0)
            file.truncate()
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        return key
