"""Names of stored cutouts: who may share one, and that nobody can guess it."""

import re

from api.naming import stored_name
from postprocess.types import Encoded

FACTS = {"model": "lite"}


def name(
    body: bytes = b"a",
    facts: dict[str, str] = FACTS,
    secret: str | None = None,
    life: float | None = None,
    key: bytes = b"key",
) -> str:
    return stored_name(Encoded(body, "image/jpeg", 1, 1), facts, secret, life, key)


def test_a_name_is_that_of_a_stored_object() -> None:
    for each in (name(), name(secret="job/0")):
        assert re.fullmatch(r"[0-9a-f]{32}\.jpg", each)


def test_without_a_secret_it_depends_on_everything_else() -> None:
    others = [name(b"b"), name(facts={"model": "basnet"}), name(key=b"other"), name(life=60), name(life=61)]
    assert len({name(), *others}) == 6
    assert name() == name()


def test_with_a_secret_it_depends_on_nothing_else() -> None:
    same = [name(b"b", secret="job/0"), name(key=b"other", secret="job/0"), name(life=60, secret="job/0")]
    assert {name(secret="job/0")} == set(same)
    assert name(secret="job/0") != name(secret="job/1")
