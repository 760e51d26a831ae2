"""Verifies what the service delivers to a webhook: the Standard Webhooks specification, HMAC-SHA256."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from objectcut_client.errors import WebhookError
from objectcut_client.types import Job

PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified delivery. id: the same over its repetitions: keep it, and pass over what comes again."""

    id: str
    type: str
    job: Job


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance: float = 300.0,
    now: Callable[[], float] = time.time,
) -> Delivery:
    """The delivery, if it comes from whoever knows the secret and is fresh.

    body: as it came, byte for byte. secret: one, or several while they rotate; after `whsec_` it is base64,
    else its own UTF-8 text. tolerance: seconds that the clocks may differ. Raises WebhookError.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id, timestamp = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        age = now() - int(timestamp)
    except (KeyError, ValueError) as exc:
        raise WebhookError(f"a header is missing or malformed: {exc}") from exc
    if abs(age) > tolerance:
        raise WebhookError(f"the timestamp is {age:.0f} s off")
    signed = f"{id}.{timestamp}.".encode() + body
    secrets = [secret] if isinstance(secret, str) else secret
    right = [_signature(each, signed) for each in secrets]
    # Every pair is compared, so that the time tells nothing.
    if not sum(hmac.compare_digest(one.encode(), other.encode()) for one in signatures for other in right):
        raise WebhookError("no signature is right")
    event = json.loads(body)
    return Delivery(id, event["type"], Job.parse(event["data"]))


def _signature(secret: str, signed: bytes) -> str:
    try:
        encoded = secret.removeprefix(PREFIX)
        key = base64.b64decode(encoded, validate=True) if encoded != secret else secret.encode()
    except binascii.Error as exc:
        raise WebhookError(f"the secret is not base64 after {PREFIX}") from exc
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
