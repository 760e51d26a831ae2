"""Bodies that are large: where they are parsed."""

import threading

import pytest

from api.uploads import _parsed


@pytest.mark.parametrize(
    ("size", "on_the_loop"),
    [pytest.param(1_000, True, id="small"), pytest.param(1_000_000, False, id="large")],
)
async def test_large_bodies_are_parsed_off_the_event_loop(size: int, on_the_loop: bool) -> None:
    length, thread = await _parsed(lambda data: (len(data), threading.get_ident()), b"x" * size)
    assert length == size
    assert (thread == threading.get_ident()) is on_the_loop
