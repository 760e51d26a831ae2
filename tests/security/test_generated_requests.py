"""Requests made from our own OpenAPI document, valid and not: every answer is one that the document tells.

schemathesis reads docs/openapi.json and draws requests for each operation; half of them break its schema.
"""

import base64
import gc
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckContext, CheckFunction
from schemathesis.core.result import Err, Ok
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from model import heap
from tests.fakes import BASE_URL, FakeFetcher, photo
from tests.processes import resident_bytes
from tests.service import KEY, SyncClient, serving_synchronously

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
PAGE = "https://img.example/photo.jpg"
PHOTO = photo()
A_RUN, A_NIGHT = 200, 2_000
"""Requests, over all operations."""
HURRY = 10.0
"""Seconds: a deadline below, which the client asks for itself, may be missed."""

Operation = Any
"""schemathesis's, whose type takes parameters of its own."""
Wire = dict[str, Any]
"""Arguments of an httpx request."""

schemathesis.openapi.format("binary", st.just(PHOTO) | st.binary(max_size=64))
schemathesis.openapi.format("byte", st.just(base64.b64encode(PHOTO).decode()) | st.text(max_size=40))
schemathesis.openapi.format("uri", st.sampled_from([PAGE, "http://127.0.0.1/", "file:///etc/passwd", "x"]))


def operations() -> list[Operation]:
    """All of them; the document is wrong where one cannot be read."""
    found = list(schemathesis.openapi.from_path(DOCUMENT).get_all_operations())
    assert not [each.err() for each in found if isinstance(each, Err)]
    return [each.ok() for each in found if isinstance(each, Ok)]


OPERATIONS = operations()
TAKES_INPUT = [each for each in OPERATIONS if each.body or each.query or each.path_parameters]


def no_failure_of_ours(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """No 5xx, but for a deadline of the client's own that is too short."""
    if response.status_code >= 500:
        asked = str(case.headers.get("X-Timeout", "inf"))
        assert "deadline_exceeded" in response.text
        assert float(asked) < HURRY


CHECKS: list[CheckFunction] = [
    no_failure_of_ours,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@st.composite
def drawable(draw: st.DrawFn, cases: st.SearchStrategy[Case[Any]]) -> Case[Any]:
    """Without those that schemathesis itself stumbles over: its validator does not know its own bytes."""
    try:
        return draw(cases)
    except ValueError as exc:
        if "Unsupported type: 'Binary'" in str(exc):
            reject()
        raise


def on_the_wire(case: Case[Any], key: bool) -> Wire:
    """The request as schemathesis would send it."""
    if key:
        case.headers["X-Secret-Access" if case.path == "/remove" else "X-Api-Key"] = KEY
    known = {"method", "url", "params", "headers", "cookies", "data", "json", "files"}
    parts = case.as_transport_kwargs(base_url=BASE_URL)
    wire = requests.Request(**{name: parts[name] for name in known & parts.keys()}).prepare()
    headers = [
        (name.encode("latin-1"), value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in wire.headers.items()
    ]
    return {"method": wire.method, "url": wire.url, "content": wire.body, "headers": headers}


@pytest.fixture(scope="module")
def client() -> Iterator[SyncClient]:
    limits = {"body_bytes": 200_000}
    with serving_synchronously(
        {"anonymous": False, "secret_access": KEY, "limits": limits}, fetcher=FakeFetcher({PAGE: PHOTO})
    ) as client:
        yield client


def send(client: SyncClient, operation: Operation, total: int) -> list[Wire]:
    """Sends this operation's share of `total` requests and judges the answers. Returns what was sent."""
    share = math.ceil(total / len(TAKES_INPUT))
    cases = drawable(st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode]))
    sent: list[Wire] = []

    @given(case=cases, key=st.sampled_from([True, True, True, False]))
    @settings(
        max_examples=share,
        derandomize=total
        == A_RUN,  # what is new is found at night, not in a change that has nothing to do with it
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def each(case: Case[Any], key: bool) -> None:
        sent.append(on_the_wire(case, key))
        case.validate_response(client.request(**sent[-1]), checks=CHECKS)
        client.served.assert_at_rest()

    each()
    if operation in TAKES_INPUT:
        assert len(sent) >= share
    return sent


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_every_answer_is_as_documented(client: SyncClient, operation: Operation) -> None:
    send(client, operation, A_RUN)


@pytest.mark.slow
def test_every_one_of_many_answers_is_as_documented(client: SyncClient, tmp_path: Path) -> None:
    """And, sent once more, they cost neither memory nor files."""
    sent = [wire for operation in OPERATIONS for wire in send(client, operation, A_NIGHT)]
    assert len(sent) >= A_NIGHT
    held = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path))
        for _ in range(3):  # what drew them holds memory of its own: only now is it ours alone
            for wire in sent:
                client.request(**wire)
            gc.collect()
            heap.trim()
            held.append((resident_bytes(os.getpid()), len(os.listdir("/proc/self/fd"))))
    assert held[-1][0] <= held[0][0] * 1.02, held
    assert held[-1][1] <= held[0][1], held
    assert list(tmp_path.iterdir()) == []
