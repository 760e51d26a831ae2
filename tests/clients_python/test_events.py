"""The stream of events, however it is cut."""

import pytest

from objectcut_client.events import Event, EventParser

STREAM = """: heartbeat

id: 7
event: progress
data: {"source": "\x85\u2028\u2029\x0cé"}

data: one
data: two

"""
EVENTS = [Event("progress", '{"source": "\x85\u2028\u2029\x0cé"}'), Event("message", "one\ntwo")]


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"], ids=["LF", "CR LF", "CR"])
def test_lines_end_where_the_standard_says(line_break: str, size: int) -> None:
    stream, parser = STREAM.replace("\n", line_break).encode(), EventParser()
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [event for part in parts for event in parser.feed(part)] == EVENTS
    assert parser.last_id == "7"


@pytest.mark.parametrize("cut_off", [b"data: one\n", b"data: on", b"data: one\r"])
def test_what_was_cut_off_is_forgotten(cut_off: bytes) -> None:
    parser = EventParser()
    assert list(parser.feed(cut_off)) == []
    parser.reset()
    assert list(parser.feed(b"\ndata: two\n\n")) == [Event("message", "two")]
