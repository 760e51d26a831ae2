"""The words of remove.bg's parameters: every parser takes text and raises ValueError, saying why."""

import base64
import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from postprocess.colour import Colour, parse_colour
from postprocess.lengths import Margins, parse_lengths, parse_margins

T = TypeVar("T")

DEFAULT_OPACITY = 0.5
_NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?%?")
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_LARGEST_MARGIN = {True: 50.0, False: 500.0}
"""By Length.relative: % of the subject's side, px."""


def choice(*words: str) -> Callable[[str], str]:
    """One of these, whatever its case."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"not one of {', '.join(words)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    """As people write it, in any case."""
    if (word := text.lower()) not in _TRUE | _FALSE:
        raise ValueError("not true or false")
    return word in _TRUE


def region(text: str) -> str:
    """Checked as far as it can be without the picture."""
    parse_lengths(text, (4,))
    return text


def limited_margins(text: str) -> Margins:
    """Up to what may be added on a side."""
    margins = parse_margins(text)
    if any(each.amount > _LARGEST_MARGIN[each.relative] for each in margins):
        raise ValueError("more than 50% of the subject or 500px on a side")
    return margins


def hex_or_name(text: str) -> Colour:
    """As postprocess.colour has them, hexadecimal ones also without `#`."""
    try:
        return parse_colour(text)
    except ValueError:
        return parse_colour(f"#{text}")


def percentage(text: str) -> float:
    """A share from 0 to 100, where -1 leaves it to the service."""
    if text == "-1":
        return DEFAULT_OPACITY
    if not _NUMBER.fullmatch(text) or float(text.removesuffix("%")) > 100:
        raise ValueError("not a number from 0 to 100")
    return float(text.removesuffix("%")) / 100


def web_address(text: str) -> str:
    """Of http or https; the guard judges where it leads."""
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http(s) URL")
    return text


def file_from_text(text: str) -> bytes:
    """Base64, also as a `data:` URL, in lines, or with blanks where a form lost a `+`."""
    if text.startswith("data:"):
        text = text.partition(",")[2]
    lines = "".join(text.splitlines()).replace(" ", "+")
    try:
        return base64.b64decode(lines, validate=True)
    except ValueError:
        raise ValueError("not base64") from None


def or_original(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """What `parse` makes of it; nothing of the word `original`."""
    return lambda text: None if text.lower() == "original" else parse(text)
