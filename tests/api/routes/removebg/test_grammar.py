"""The words of remove.bg's parameters."""

import base64

import pytest

from api.routes.removebg.grammar import (
    boolean,
    choice,
    file_from_text,
    hex_or_name,
    limited_margins,
    or_original,
    percentage,
    region,
    web_address,
)
from postprocess.colour import Colour


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1", "yes", "on", "YES"])
def test_true(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["false", "False", "0", "no", "off"])
def test_false(text: str) -> None:
    assert boolean(text) is False


@pytest.mark.parametrize("text", ["", "2", "maybe", "null", "tru"])
def test_neither(text: str) -> None:
    with pytest.raises(ValueError, match="not true or false"):
        boolean(text)


def test_choice_whatever_the_case() -> None:
    assert choice("rgba", "alpha")("RGBA") == "rgba"
    with pytest.raises(ValueError, match="not one of rgba, alpha"):
        choice("rgba", "alpha")("bgr")


@pytest.mark.parametrize(
    ("text", "colour"),
    [
        pytest.param("81d4fa", Colour(129, 212, 250), id="six digits"),
        pytest.param("#81d4fa", Colour(129, 212, 250), id="with #"),
        pytest.param("fff", Colour(255, 255, 255), id="three"),
        pytest.param("FfF8", Colour(255, 255, 255, 136), id="four, any case"),
        pytest.param("81d4fa77", Colour(129, 212, 250, 119), id="eight"),
        pytest.param("green", Colour(0, 128, 0), id="a name"),
        pytest.param("transparent", Colour(0, 0, 0, 0), id="none"),
    ],
)
def test_colours(text: str, colour: Colour) -> None:
    assert hex_or_name(text) == colour


@pytest.mark.parametrize("text", ["blur", "12", "12345", "#ggg", "rgb(1,2,3)", "##fff"])
def test_no_colours(text: str) -> None:
    with pytest.raises(ValueError, match="not a colour"):
        hex_or_name(text)


def test_margins_end_at_500_px_and_half_the_subject() -> None:
    assert limited_margins("500 50%").top.amount == 500
    for text in ("501px", "0 51%", "1 2 3 501"):
        with pytest.raises(ValueError, match="on a side"):
            limited_margins(text)


@pytest.mark.parametrize(
    ("text", "share"), [("0", 0), ("100", 1), ("55.5", 0.555), ("30%", 0.3), ("-1", 0.5)]
)
def test_percentage(text: str, share: float) -> None:
    assert percentage(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["101", "-2", "nan", "inf", "1e1", "", "half"])
def test_no_percentage(text: str) -> None:
    with pytest.raises(ValueError, match="from 0 to 100"):
        percentage(text)


@pytest.mark.parametrize("text", ["ftp://a.b/c", "a.b/c", "http://", "http://[", "file:///etc/passwd", "x:"])
def test_no_web_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"URL|IPv6"):
        web_address(text)


def test_region_and_original() -> None:
    assert region("0 0 100% 100%") == "0 0 100% 100%"
    with pytest.raises(ValueError, match="not 4 lengths"):
        region("0 0 100%")
    assert or_original(float)("ORIGINAL") is None
    assert or_original(float)("2") == 2


DATA = bytes(range(256))
TEXT = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TEXT, id="plain"),
        pytest.param(f"data:image/png;base64,{TEXT}", id="a data URL"),
        pytest.param("\n".join([TEXT[:76], TEXT[76:]]), id="in lines"),
        pytest.param(TEXT.replace("+", " "), id="blanks for plus signs"),
    ],
)
def test_base64(text: str) -> None:
    assert "+" in TEXT
    assert file_from_text(text) == DATA


@pytest.mark.parametrize("text", ["é", "abc", "a*c="])
def test_no_base64(text: str) -> None:
    with pytest.raises(ValueError, match="not base64"):
        file_from_text(text)
