"""Who calls, on which plan, and what is left to them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.accounts.plans import Plan
from model.deadline import Deadline

OPERATOR = "secret"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    id: `anonymous`, `secret` (the operator's key), `key_…` or `rapidapi:USER`. bucket: what windows and
    places are counted by: the id, of anonymous callers with their address. prepaid: it repeats a request that
    has been paid for.
    """

    id: str
    plan: Plan
    bucket: str
    prepaid: bool = False

    @property
    def is_operator(self) -> bool:
        """Whose key is the service's own secret."""
        return self.id == OPERATOR


@dataclass(frozen=True, slots=True)
class Visit:
    """An admitted request. spend: takes megapixels of the caller's minute, for Pipeline.remove_background."""

    deadline: Deadline
    caller: Caller
    spend: Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Balance:
    """credits: what is left. total: what was ever given. Both None: unlimited."""

    credits: float | None
    total: float | None


@dataclass(frozen=True, slots=True)
class Rate:
    """A window of one minute: of requests, or of megapixels on a plan that limits only these."""

    limit: int
    remaining: int
    reset_epoch_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """As remove.bg and others name them."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_epoch_seconds),
        }
