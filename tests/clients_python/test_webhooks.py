"""Deliveries: the right ones are taken, and no others."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest

from objectcut_client import WebhookError, verify_webhook

NOW = 1_800_000_000
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
JOB: dict[str, Any] = {
    "id": "j",
    "status": "succeeded",
    "url": "http://cut.example/v1/jobs/j",
    "created_at": "2026-11-24T11:00:00Z",
    "finished_at": "2026-11-24T11:00:09Z",
    "expires_at": None,
    "total": 0,
    "succeeded": 0,
    "failed": 0,
    "items": [],
}
BODY = json.dumps({"type": "job.finished", "id": "msg_1", "created_at": "2026-11-24", "data": JOB}).encode()


def signed(key: bytes = KEY, *, body: bytes = BODY, id: str = "msg_1", at: int = NOW) -> dict[str, str]:
    mac = hmac.digest(key, f"{id}.{at}.".encode() + body, hashlib.sha256)
    signature = "v1," + base64.b64encode(mac).decode()
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(at), "Webhook-Signature": signature}


def verify(headers: Mapping[str, str], body: bytes = BODY, secret: Any = SECRET) -> Any:
    return verify_webhook(body, headers, secret, now=lambda: float(NOW))


OTHER = signed(b"another")["Webhook-Signature"]


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        pytest.param(signed(), SECRET, id="one"),
        pytest.param(signed(at=NOW - 299), SECRET, id="a little late"),
        pytest.param(signed(b"plain text"), "plain text", id="a secret that is text"),
        pytest.param(
            signed() | {"Webhook-Signature": f"{OTHER} {signed()['Webhook-Signature']}"},
            SECRET,
            id="while the service rotates",
        ),
        pytest.param(signed(b"old"), [SECRET, "old"], id="while the receiver rotates"),
    ],
)
def test_what_is_genuine_is_taken(headers: dict[str, str], secret: Any) -> None:
    delivery = verify(headers, secret=secret)
    assert (delivery.id, delivery.type, delivery.job.id) == ("msg_1", "job.finished", "j")
    assert delivery.job.finished


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(signed(b"another"), BODY, id="another key"),
        pytest.param(signed(), BODY.replace(b'"failed": 0', b'"failed": 1'), id="an altered body"),
        pytest.param(signed(id="msg_2"), BODY, id="another id"),
        pytest.param(signed(at=NOW - 301), BODY, id="too old"),
        pytest.param(signed(at=NOW + 301), BODY, id="from the future"),
        pytest.param(signed() | {"Webhook-Timestamp": str(NOW + 1)}, BODY, id="an altered time"),
        pytest.param(signed() | {"Webhook-Timestamp": "now"}, BODY, id="no time"),
        pytest.param(signed() | {"Webhook-Signature": ""}, BODY, id="no signature"),
        pytest.param(signed() | {"Webhook-Signature": "v1,ünsinn"}, BODY, id="nonsense"),
        pytest.param(
            signed() | {"Webhook-Signature": signed()["Webhook-Signature"].replace("v1,", "v2,")},
            BODY,
            id="another version",
        ),
        pytest.param({}, BODY, id="nothing"),
    ],
)
def test_what_is_not_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(WebhookError):
        verify(headers, body)


def test_a_secret_that_is_none() -> None:
    with pytest.raises(WebhookError, match="base64"):
        verify(signed(), secret="whsec_%%%")
