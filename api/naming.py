"""The names of stored cutouts: 32 hex digits and an extension that nobody can guess, and whose they are."""

from collections.abc import Mapping
from hashlib import blake2b

from api.types import Encoded

__all__ = ["is_owned", "owned", "stored_name"]

_UNIQUE = 24
"""Hex digits that tell one object from another; those that follow tell its owner."""


def stored_name(
    encoded: Encoded,
    facts: Mapping[str, str],
    secret: str | None,
    life: float | None,
    key: bytes,
    owner: str | None,
) -> str:
    """With a secret the same for that secret, whatever the bytes: making them again stores nothing more.

    Without one the same for the same bytes with the same facts and life: storing them twice stores them once,
    for each owner. key: at most 64 bytes; without it nobody can tell that name. owner: a caller's id, None
    for nobody's.
    """
    if secret is not None:
        name = blake2b(secret.encode(), digest_size=16)
    else:
        name = blake2b(repr((sorted(facts.items()), life)).encode(), digest_size=16, key=key)
        name.update(encoded.body)
    return f"{owned(name.hexdigest(), owner)}.{encoded.extension}"


def owned(digits: str, owner: str | None) -> str:
    """32 hex digits that nobody can guess, as those of an object of that caller's."""
    return digits[:_UNIQUE] + _mark(digits[:_UNIQUE], owner)


def is_owned(name: str, owner: str) -> bool:
    """Whether a stored object is that caller's."""
    digits = name.partition(".")[0]
    return digits == owned(digits, owner)


def _mark(unique: str, owner: str | None) -> str:
    """Of each object another one: links tell nobody which of them are one caller's."""
    return blake2b(repr((unique, owner)).encode(), digest_size=4).hexdigest()
