"""Where keys and credits are kept: the seam between Accounts and its state."""

from typing import Protocol

from api.accounts.keys import KeyRecord


class Ledger(Protocol):
    """Keys and credits. Every method raises AccountsUnavailable. Amounts: thousandths of a credit."""

    async def add(self, record: KeyRecord) -> None:
        """Keeps a new key."""
        ...

    async def find(self, id: str) -> KeyRecord | None:
        """The key's record as it is now: nothing is cached, so that a revoked key is refused at once."""
        ...

    async def all(self) -> list[KeyRecord]:
        """Every key, revoked ones included, the oldest first."""
        ...

    async def revoke(self, id: str) -> bool:
        """False when there is no such key, or it was revoked before."""
        ...

    async def charge(self, id: str, amount: int) -> bool:
        """Takes all of `amount` or, and then it is False, nothing. Unlimited keys are not charged."""
        ...

    async def grant(self, id: str, amount: int) -> bool:
        """Adds to the balance and to what was granted; False when no key of that id counts credits."""
        ...

    async def close(self) -> None:
        """Lets go of connections and threads."""
        ...
