"""Signatures of webhooks, as the Standard Webhooks specification has them (v1: HMAC-SHA256).

Each caller has a secret of its own, derived from the service's: nobody who may verify its own webhooks can
make somebody else's.
"""

import hmac
import secrets
from base64 import b64encode
from collections.abc import Sequence
from sqlite3 import Connection

from api.jobs.config import WebhookConfig
from api.jobs.database import Database

PREFIX = "whsec_"
_NAME = "webhooks"


def signature_headers(keys: Sequence[bytes], id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`webhook-id`, `-timestamp` (Unix s) and `-signature`: one by each key, so that keys can change."""
    signed = f"{id}.{timestamp}.".encode() + body
    signatures = [f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys]
    return {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def shown(key: bytes) -> str:
    """A key as people and libraries exchange it."""
    return PREFIX + b64encode(key).decode()


class WebhookKeys:
    """The signing keys of callers. Without configured ones, the service's key is kept in the database."""

    def __init__(self, database: Database, config: WebhookConfig) -> None:
        self._database = database
        self._masters = tuple(key.get_secret_value().encode() for key in config.keys)

    async def of(self, owner: str) -> list[bytes]:
        """32 bytes each; the first is the newest. Raises JobsUnavailable."""
        self._masters = self._masters or (await self._database.write(_kept_key),)
        return [hmac.digest(key, f"webhooks of {owner}".encode(), "sha256") for key in self._masters]


def _kept_key(connection: Connection) -> bytes:
    """Made when it is asked for first."""
    connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (_NAME, secrets.token_bytes(32)))
    (key,) = connection.execute("SELECT value FROM secrets WHERE name = ?", (_NAME,)).fetchone()
    return bytes(key)
