"""Names of stored cutouts: who may share one, and that nobody can guess it."""

import re

import pytest

from api.naming import is_owned, owned, stored_name
from postprocess.types import Encoded

FACTS = {"model": "lite"}


def name(
    body: bytes = b"a",
    facts: dict[str, str] = FACTS,
    secret: str | None = None,
    life: float | None = None,
    key: bytes = b"key",
    owner: str | None = "key_a",
) -> str:
    return stored_name(Encoded(body, "image/jpeg", 1, 1), facts, secret, life, key, owner)


def test_a_name_is_that_of_a_stored_object() -> None:
    for each in (name(), name(secret="job/0")):
        assert re.fullmatch(r"[0-9a-f]{32}\.jpg", each)


def test_without_a_secret_it_depends_on_everything_else() -> None:
    others = [name(b"b"), name(facts={"model": "basnet"}), name(key=b"other"), name(life=60), name(life=61)]
    assert len({name(), *others, name(owner="key_b"), name(owner=None)}) == 8
    assert name() == name()


def test_with_a_secret_it_depends_on_nothing_else() -> None:
    same = [name(b"b", secret="job/0"), name(key=b"other", secret="job/0"), name(life=60, secret="job/0")]
    assert {name(secret="job/0")} == set(same)
    assert name(secret="job/0") != name(secret="job/1")


@pytest.mark.parametrize("made", [name(), name(secret="job/0"), owned("5" * 32, "key_a")])
def test_it_tells_whose_it_is(made: str) -> None:
    assert is_owned(made, "key_a")
    assert not is_owned(made, "key_b")
    assert not is_owned(made.replace(made[23:31], "0" * 8), "key_a")


def test_it_tells_nobody_which_objects_are_one_callers() -> None:
    assert name()[24:32] != name(b"b")[24:32]


@pytest.mark.parametrize("other", ["", "x", "..", "a" * 200, "\u00e9" * 32])
def test_what_is_no_name_is_nobodys(other: str) -> None:
    assert not is_owned(other, "key_a")
