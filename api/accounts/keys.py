"""API keys: `oc_`, a public id of 12 hex digits, `_`, and a secret of 256 random bits.

The id finds the record without any secret being compared by an index. A secret of that entropy needs no slow
hash: SHA-256 is kept, and compared in constant time.
"""

import hmac
import re
import secrets
from dataclasses import dataclass
from hashlib import sha256

PREFIX = "oc_"
THOUSAND = 1000
_FORM = re.compile(r"oc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is kept of a key. Times are Unix seconds.

    balance, granted: thousandths of a credit left, and ever given; None: unlimited.
    """

    id: str
    digest: bytes
    plan: str
    label: str
    created_at: int
    revoked_at: int | None = None
    balance: int | None = None
    granted: int | None = None

    def __repr__(self) -> str:
        return f"KeyRecord({self.id!r})"  # not the digest: this may be logged


def make_key() -> tuple[str, str, bytes]:
    """A new key, its id and its digest."""
    number = secrets.token_hex(6)
    key = f"{PREFIX}{number}_{secrets.token_urlsafe(32)}"
    return key, f"key_{number}", _digest(key)


def id_of(key: str) -> str | None:
    """The id in a key; None when it has not a key's form."""
    match = _FORM.fullmatch(key)
    return match and f"key_{match[1]}"


def proves(key: str, record: KeyRecord | None) -> bool:
    """Whether `key` is the one that the record was made for, and still good. Takes as long either way."""
    same = hmac.compare_digest(_digest(key), record.digest if record else _NOBODY)
    return same and record is not None and record.revoked_at is None


def thousandths(credits: float) -> int:
    """Credits as they are kept: whole numbers add up exactly."""
    return round(credits * THOUSAND)


def _digest(key: str) -> bytes:
    return sha256(key.encode()).digest()
