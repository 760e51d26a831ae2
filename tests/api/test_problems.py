"""The tree of errors and its body."""

import json

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api import errors, problems
from model import errors as model_errors

KINDS = list(problems.kinds())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_every_kind_has_the_one_shape(kind: type[errors.ObjectCutError]) -> None:
    answer = problems.response(kind("a path, an address: for the log"), "request-1")
    body = json.loads(bytes(answer.body))
    assert answer.status_code == kind.status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert set(body) == {"type", "title", "status", "code", "detail", "request_id", "errors"}
    assert body["type"] == f"/errors#{kind.code}"
    assert (body["status"], body["code"], body["request_id"]) == (kind.status, kind.code, "request-1")
    assert body["errors"] == [{"title": kind.title, "code": kind.code, "detail": None}]
    assert "for the log" not in bytes(answer.body).decode()


def test_codes_are_unique_and_documented_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    for kind in KINDS:
        assert any(str(kind.status) in line and kind.code in line for line in tree.splitlines()), kind


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        pytest.param(errors.Overloaded(retry_after=10), 8, 12, id="a fifth more or less"),
        pytest.param(errors.Overloaded(retry_after=0.01), 1, 1, id="at least a second"),
        pytest.param(errors.Draining(), 2, 3, id="503 without a hint"),
        pytest.param(errors.StoreFull(retry_after=60), 48, 72, id="the store's hint"),
        pytest.param(errors.RateLimited(retry_after=10.2), 11, 11, id="a limit that ends when it ends"),
    ],
)
def test_retry_after(error: errors.ObjectCutError, least: int, most: int) -> None:
    for _ in range(50):
        assert least <= int(problems.response(error, "r").headers["retry-after"]) <= most


def test_no_retry_after_where_it_would_not_help() -> None:
    assert "retry-after" not in problems.response(errors.CorruptImage(), "r").headers


def test_a_wrong_key_is_told_the_scheme() -> None:
    assert problems.response(errors.Unauthorized(), "r").headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        pytest.param(HTTPException(404), errors.NotFound, id="404"),
        pytest.param(HTTPException(405), errors.MethodNotAllowed, id="405"),
        pytest.param(HTTPException(400, "bad"), errors.InvalidOptions, id="400"),
        pytest.param(HTTPException(500), errors.ObjectCutError, id="500"),
        pytest.param(RequestValidationError([]), errors.InvalidOptions, id="FastAPI's 422"),
        pytest.param(model_errors.Overloaded(retry_after=3), errors.Overloaded, id="queue full"),
        pytest.param(model_errors.DeviceLost("x"), errors.ModelUnavailable, id="device lost"),
        pytest.param(KeyError("x"), errors.ObjectCutError, id="a bug"),
        pytest.param(errors.NoSubject(), errors.NoSubject, id="our own"),
    ],
)
def test_any_exception_has_its_place(exc: Exception, kind: type[errors.ObjectCutError]) -> None:
    assert type(problems.as_problem(exc)) is kind


def test_a_bug_tells_the_client_nothing() -> None:
    error = problems.as_problem(ValueError("/secret/path"))
    assert b"/secret/path" not in bytes(problems.response(error, "r").body)
    assert "/secret/path" in str(error)
