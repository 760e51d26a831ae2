"""Lengths as callers write them: `30px`, `10%`, or a bare number of px."""

import re
from collections.abc import Collection
from typing import NamedTuple

_LENGTH = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)(px|%)?")


class Length(NamedTuple):
    """amount: px, or hundredths of the whole where `relative`."""

    amount: float
    relative: bool

    def of(self, whole: int) -> int:
        """px of a whole of so many px, rounded."""
        return round(self.amount * whole / 100) if self.relative else round(self.amount)


def parse_lengths(text: str, counts: Collection[int]) -> tuple[Length, ...]:
    """Lengths parted by spaces, as many as `counts` allows. Raises ValueError."""
    found = [_LENGTH.fullmatch(word) for word in text.strip().lower().split()]
    if len(found) not in counts or None in found:
        wanted = " or ".join(map(str, sorted(counts)))
        raise ValueError(f"not {wanted} lengths in px or %, as in '10px' or '5%'")
    return tuple(Length(float(each[1]), each[2] == "%") for each in found if each)


class Margins(NamedTuple):
    """What is added on each side."""

    top: Length
    right: Length
    bottom: Length
    left: Length


def parse_margins(text: str) -> Margins:
    """One length for all sides, two (top and bottom, left and right) or four (clockwise from the top).

    Raises ValueError.
    """
    lengths = parse_lengths(text, (1, 2, 4))
    return Margins(*(lengths * (4 // len(lengths))))


def parse_scale(text: str) -> float:
    """`10%` to `100%`, as a share. Raises ValueError."""
    (length,) = parse_lengths(text, (1,))
    if not length.relative or not 10 <= length.amount <= 100:
        raise ValueError("not a share from 10% to 100%")
    return length.amount / 100


def parse_position(text: str) -> tuple[float, float]:
    """(x, y), shares of the free space left and above: `center`, `X%` for both, or `X% Y%`.

    Raises ValueError.
    """
    lengths = parse_lengths("50%" if text.strip().lower() == "center" else text, (1, 2))
    if any(not each.relative or each.amount > 100 for each in lengths):
        raise ValueError("not 'center', 'X%' or 'X% Y%' from 0% to 100%")
    return lengths[0].amount / 100, lengths[-1].amount / 100
