"""Keys, plans, rates and credits: who calls, and what they may take."""

from api.accounts.accounts import Accounts
from api.accounts.callers import Balance, Caller, Rate, Visit
from api.accounts.ledger import Ledger
from api.accounts.plans import AccountsConfig, Plan
from api.accounts.sqlite import SqliteLedger
from api.accounts.windows import Windows

__all__ = [
    "Accounts",
    "AccountsConfig",
    "Balance",
    "Caller",
    "Ledger",
    "Plan",
    "Rate",
    "Visit",
    "Windows",
    "open_accounts",
    "open_state",
]


def open_state(config: AccountsConfig) -> tuple[Ledger, Windows]:
    """Where this configuration keeps keys and credits, and counts the minute. Connects at the first use.

    Raises ValueError: Redis is wanted, and its URL is none or its client is not installed.
    """
    if config.redis_url is None:
        return SqliteLedger(config.database, config.timeout), Windows()
    try:
        from api.accounts.redis import open_redis
    except ImportError as exc:
        raise ValueError(f"redis_url needs the extra objectcut[redis]: {exc}") from exc
    return open_redis(config.redis_url.get_secret_value(), config.timeout)


def open_accounts(
    config: AccountsConfig, *, secret: str | None, anonymous: bool, share: int | None
) -> Accounts:
    """The accounts of a service: see Accounts, and `open_state` for what it raises."""
    return Accounts(config, *open_state(config), secret=secret, anonymous=anonymous, share=share)
