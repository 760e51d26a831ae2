"""Keys: their form, and what proves one."""

import hmac
from dataclasses import replace

import pytest

from api.accounts.keys import KeyRecord, id_of, make_key, proves, thousandths


def made() -> tuple[str, KeyRecord]:
    key, id, digest = make_key()
    return key, KeyRecord(id, digest, "default", "", 0)


def test_keys_differ_and_carry_their_id() -> None:
    keys = [make_key() for _ in range(100)]
    assert len({key for key, _, _ in keys}) == len({id for _, id, _ in keys}) == 100
    for key, id, digest in keys:
        assert key.startswith("oc_")
        assert id_of(key) == id
        assert len(key[16:]) >= 22, "128 random bits take 22 characters of base64"
        assert len(digest) == 32
        assert key[16:].encode() not in digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oc_",
        "oc_123",
        "OC_0123456789ab_" + "x" * 43,
        "oc_0123456789AB_" + "x" * 43,
        "oc_0123456789ab_" + "x" * 42,
        "oc_0123456789ab_" + "x" * 44,
        "oc_0123456789ab_" + "x" * 42 + "\n",
        "oc_0123456789ab_" + "x" * 42 + "é",
        "oc_٠١٢٣٤٥٦٧٨٩ab_" + "x" * 43,
        "oc_../../../../_" + "x" * 43,
    ],
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert id_of(text) is None


def test_only_the_key_itself_proves_it() -> None:
    key, record = made()
    other, _ = made()
    assert proves(key, record)
    assert not proves(other, record)
    assert not proves(key[:-1] + ("x" if key[-1] != "x" else "y"), record)
    assert not proves(key, None)
    assert not proves(key, replace(record, revoked_at=1))


@pytest.mark.parametrize("known", [True, False])
def test_digests_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    key, record = made()
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(given: bytes, kept: bytes) -> bool:
        compared.append((given, kept))
        return real(given, kept)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert proves(key, record if known else None) is known
    assert compared == [(record.digest, record.digest if known else bytes(32))]


@pytest.mark.parametrize(("credits", "kept"), [(0.1, 100), (0.25, 250), (0.3, 300), (1, 1000), (1e9, 10**12)])
def test_credits_are_kept_as_whole_numbers(credits: float, kept: int) -> None:
    assert thousandths(credits) == kept
