"""Lengths, margins, scales and positions as text."""

import pytest

from postprocess.lengths import Length, parse_lengths, parse_margins, parse_position, parse_scale


@pytest.mark.parametrize(
    ("text", "whole", "px"),
    [
        pytest.param("30px", 999, 30, id="px"),
        pytest.param("30", 999, 30, id="a bare number is px"),
        pytest.param("0", 999, 0, id="nothing"),
        pytest.param("10%", 250, 25, id="a share"),
        pytest.param("12.5%", 80, 10, id="half a percent"),
        pytest.param(" 7PX ", 0, 7, id="case and blanks"),
    ],
)
def test_length(text: str, whole: int, px: int) -> None:
    assert parse_lengths(text, (1,))[0].of(whole) == px


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1px", "1em", "1 2", "px", "%", "1e3", "nan", "1px2px", "10 %", "9999999", "1.", "٣"],
)
def test_what_is_no_length(text: str) -> None:
    with pytest.raises(ValueError, match="not 1 lengths"):
        parse_lengths(text, (1,))


def test_margins_go_round_as_in_css() -> None:
    one, two, three, four = (Length(number, False) for number in (1, 2, 3, 4))
    assert parse_margins("1") == (one, one, one, one)
    assert parse_margins("1 2") == (one, two, one, two)
    assert parse_margins("1 2 3 4") == (one, two, three, four)
    with pytest.raises(ValueError, match="not 1 or 2 or 4"):
        parse_margins("1 2 3")


def test_scale() -> None:
    assert parse_scale("80%") == 0.8
    assert (parse_scale("10%"), parse_scale("100%")) == (0.1, 1.0)
    for text in ("9%", "101%", "80", "80px", "1 2"):
        with pytest.raises(ValueError, match="not "):
            parse_scale(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        pytest.param("center", (0.5, 0.5), id="the middle"),
        pytest.param("25%", (0.25, 0.25), id="both ways"),
        pytest.param("0% 100%", (0, 1), id="a corner"),
    ],
)
def test_position(text: str, position: tuple[float, float]) -> None:
    assert parse_position(text) == position


@pytest.mark.parametrize("text", ["middle", "10px", "101%", "1% 2% 3%", "10"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(ValueError, match="not "):
        parse_position(text)
