"""What every ledger promises: in this process's memory, in SQLite, in a real Redis."""

import asyncio

import pytest

from api.accounts import Ledger
from api.accounts.keys import KeyRecord, make_key


def record(number: int = 1, *, balance: int | None = None, label: str = "") -> KeyRecord:
    """A key's record; the number is also its age."""
    return KeyRecord(
        f"key_{number:012x}", bytes([number]) * 32, "pro", label, 100 + number, None, balance, balance
    )


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(record(), id="unlimited"),
        pytest.param(record(balance=1500), id="with credits"),
        pytest.param(record(balance=0), id="none left"),
        pytest.param(record(label="Ärger & Co.: 'x'; DROP TABLE keys"), id="any label"),
    ],
)
async def test_what_is_kept_is_found(ledger: Ledger, kept: KeyRecord) -> None:
    assert await ledger.find(kept.id) is None
    await ledger.add(kept)
    assert await ledger.find(kept.id) == kept
    assert await ledger.find(record(2).id) is None


async def test_all_are_listed_oldest_first(ledger: Ledger) -> None:
    assert await ledger.all() == []
    for number in (2, 3, 1):
        await ledger.add(record(number))
    assert await ledger.all() == [record(1), record(2), record(3)]


async def test_a_key_is_revoked_once_and_stays_listed(ledger: Ledger) -> None:
    await ledger.add(record(1))
    await ledger.add(record(2))
    assert [await ledger.revoke(record(1).id) for _ in range(2)] == [True, False]
    assert not await ledger.revoke("key_nobody")
    assert await ledger.find("key_nobody") is None
    first, second = await ledger.all()
    assert first.revoked_at
    assert second.revoked_at is None


@pytest.mark.parametrize(
    ("balance", "amount", "taken", "left"),
    [
        pytest.param(1000, 250, True, 750, id="some"),
        pytest.param(1000, 1000, True, 0, id="the last"),
        pytest.param(1000, 1001, False, 1000, id="more than there is"),
        pytest.param(0, 1, False, 0, id="of nothing"),
        pytest.param(0, 0, True, 0, id="nothing"),
        pytest.param(None, 5000, True, None, id="unlimited"),
    ],
)
async def test_a_charge_takes_all_or_nothing(
    ledger: Ledger, balance: int | None, amount: int, taken: bool, left: int | None
) -> None:
    await ledger.add(record(balance=balance))
    assert await ledger.charge(record().id, amount) is taken
    found = await ledger.find(record().id)
    assert found
    assert (found.balance, found.granted) == (left, balance)


async def test_credits_are_granted_to_who_counts_them(ledger: Ledger) -> None:
    await ledger.add(record(1, balance=500))
    await ledger.add(record(2))
    assert await ledger.charge(record(1).id, 500)
    assert await ledger.grant(record(1).id, 2000)
    assert not await ledger.grant(record(2).id, 2000)
    assert not await ledger.grant("key_nobody", 2000)
    assert [(found.balance, found.granted) for found in await ledger.all()] == [(2000, 2500), (None, None)]


async def test_nobody_is_charged_for_a_key_that_is_not(ledger: Ledger) -> None:
    assert not await ledger.charge("key_nobody", 0)
    assert await ledger.all() == []


async def test_a_hundred_charges_at_once_never_go_below_zero(ledger: Ledger) -> None:
    await ledger.add(record(balance=30_000))
    taken = await asyncio.gather(*(ledger.charge(record().id, 1000) for _ in range(100)))
    assert taken.count(True) == 30
    found = await ledger.find(record().id)
    assert found
    assert found.balance == 0


def test_a_record_does_not_show_its_digest() -> None:
    _, id, digest = make_key()
    shown = repr([KeyRecord(id, digest, "pro", "", 0)])
    assert id in shown
    assert digest.hex() not in shown
    assert repr(digest) not in shown
