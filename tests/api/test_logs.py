"""Lines of the log."""

import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context

import pytest

from api.logs import REQUEST_ID, LogConfig, configure, without_secrets


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_one_line_whatever_the_message_holds() -> None:
    stream = io.StringIO()
    configure(LogConfig(), stream)
    log = logging.getLogger("objectcut.test")
    log.info('break\nout\r\n{"level": "x"}\x1b[31m', extra={"fields": {"code": "a\nb"}})
    log.debug("not shown")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    first, second = map(json.loads, lines)
    assert (first["level"], first["code"]) == ("info", "a\nb")
    assert first["message"].startswith("break\nout")
    assert "\x1b" not in lines[0]
    assert "ValueError: two\nlines" in second["traceback"]


def test_lines_tell_the_request_that_they_belong_to() -> None:
    stream = io.StringIO()
    configure(LogConfig(), stream)

    def log_within_a_request() -> None:
        REQUEST_ID.set("request-1")
        logging.getLogger("objectcut.test").warning("slow")

    copy_context().run(log_within_a_request)
    logging.getLogger("objectcut.test").warning("alone")
    within, alone = map(json.loads, stream.getvalue().splitlines())
    assert within["request_id"] == "request-1"
    assert "request_id" not in alone


def test_text_for_terminals() -> None:
    stream = io.StringIO()
    configure(LogConfig(format="text", level="debug"), stream)
    logging.getLogger("objectcut.test").debug("hello", extra={"fields": {"ms": 3}})
    assert stream.getvalue().endswith("DEBUG   hello ms=3\n")


@pytest.mark.parametrize("name", ["botocore.auth", "httpx", "urllib3.connectionpool", "google.auth"])
def test_lines_of_others_that_may_hold_secrets_are_no_business_of_debugging(name: str) -> None:
    stream = io.StringIO()
    configure(LogConfig(level="debug"), stream)
    logging.getLogger(name).debug("X-Amz-Signature=0123")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("url", "logged"),
    [
        pytest.param("https://h.example/a.png?token=s#f", "https://h.example/a.png", id="query, fragment"),
        pytest.param("https://user:pass@h.example:81/a", "https://h.example:81/a", id="user and password"),
        pytest.param("http://[::1/a", "(not a URL)", id="no URL"),
        pytest.param("https://h/" + "a" * 999, "https://h/" + "a" * 190, id="long"),
    ],
)
def test_urls_are_logged_without_secrets(url: str, logged: str) -> None:
    assert without_secrets(url) == logged
