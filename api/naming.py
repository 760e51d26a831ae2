"""The names of stored cutouts: 32 hex digits and an extension that nobody can guess."""

from collections.abc import Mapping
from hashlib import blake2b

from api.types import Encoded


def stored_name(
    encoded: Encoded, facts: Mapping[str, str], secret: str | None, life: float | None, key: bytes
) -> str:
    """With a secret the same for that secret, whatever the bytes: making them again stores nothing more.

    Without one the same for the same bytes with the same facts and life: storing them twice stores them once.
    key: at most 64 bytes; without it nobody can tell that name.
    """
    if secret is not None:
        name = blake2b(secret.encode(), digest_size=16)
    else:
        name = blake2b(repr((sorted(facts.items()), life)).encode(), digest_size=16, key=key)
        name.update(encoded.body)
    return f"{name.hexdigest()}.{encoded.extension}"
