"""Who calls, and what they may take."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from api.accounts.callers import OPERATOR, Balance, Caller, Rate
from api.accounts.identity import address_of, rapidapi_user, same_secret, shown_key
from api.accounts.keys import PREFIX, THOUSAND, KeyRecord, id_of, proves, thousandths
from api.accounts.ledger import Ledger
from api.accounts.plans import DEFAULT_PLAN, AccountsConfig, Plan
from api.accounts.windows import Windows
from api.errors import AccountsUnavailable, InsufficientCredits, Unauthorized

_KEY = "key_"
_ANONYMOUS = "anonymous"


class Accounts:
    """Identifies callers, and keeps them to their plans.

    secret: the operator's own key, without any quota. anonymous: lets in whoever shows no key of ours.
    share: places that one caller with a key may hold at once where the plan does not say.
    """

    def __init__(
        self,
        config: AccountsConfig,
        ledger: Ledger,
        windows: Windows | None = None,
        *,
        secret: str | None = None,
        anonymous: bool = False,
        share: int | None = None,
    ) -> None:
        self._config, self._ledger, self._windows = config, ledger, windows or Windows()
        self._secret, self._share = secret, share
        self._operator = Caller(OPERATOR, Plan(name="operator"), OPERATOR)
        self._open = anonymous
        self._anonymous = Plan(name=_ANONYMOUS, **config.anonymous.model_dump())

    async def identify(self, request: Request, header: str) -> Caller:
        """The request's caller. Raises Unauthorized, AccountsUnavailable."""
        if vouched := rapidapi_user(request, self._config.rapidapi):
            user, plan = vouched
            return self._caller(f"rapidapi:{user}", plan or DEFAULT_PLAN)
        given = shown_key(request, header)
        if same_secret(given, self._secret):
            return self._operator
        if given.startswith(PREFIX):
            return await self._holder(given)
        if self._open:
            return Caller(_ANONYMOUS, self._anonymous, f"{_ANONYMOUS}:{address_of(request)}")
        raise Unauthorized("wrong key" if given else "no key")

    async def recall(self, id: str, plan: str, bucket: str) -> Caller:
        """The caller of a request that was accepted before, as it stands now. plan: its name at that time.

        Raises Unauthorized: the key has been revoked. AccountsUnavailable.
        """
        if id == self._operator.id:
            return self._operator
        if id == _ANONYMOUS:
            return Caller(id, self._anonymous, bucket)
        if not id.startswith(_KEY):
            return self._caller(id, plan)
        record = await self._ledger.find(id)
        if record is None or record.revoked_at is not None:
            raise Unauthorized(f"{id} has been revoked")
        return self._caller(id, record.plan)

    async def enter(self, caller: Caller) -> None:
        """Takes one request of the minute. Raises RateLimited, AccountsUnavailable."""
        await self._windows.enter(caller)

    async def spend_pixels(self, caller: Caller, megapixels: float) -> None:
        """Takes megapixels of the minute. Raises RateLimited, AccountsUnavailable."""
        await self._windows.spend(caller, megapixels)

    async def rate(self, caller: Caller) -> Rate | None:
        """What is left of the minute; None without a limit. Raises AccountsUnavailable."""
        return await self._windows.rate(caller)

    async def balance(self, caller: Caller) -> Balance:
        """Only keys count credits. Raises AccountsUnavailable."""
        record = await self._record(caller)
        if record is None or record.balance is None or record.granted is None:
            return Balance(None, None)
        return Balance(record.balance / THOUSAND, record.granted / THOUSAND)

    async def require(self, caller: Caller, credits: float) -> None:
        """Before the work. Raises InsufficientCredits, AccountsUnavailable."""
        if caller.prepaid:
            return
        left = (await self.balance(caller)).credits
        if left is not None and left < credits:
            raise InsufficientCredits(f"{caller.id} has {left:g} of {credits:g}")

    async def charge(self, caller: Caller, credits: float) -> None:
        """After success. Takes all of it or nothing.

        Raises InsufficientCredits: a neighbouring request took the last ones meanwhile. AccountsUnavailable.
        """
        if caller.prepaid or not caller.id.startswith(_KEY):
            return
        if not await self._ledger.charge(caller.id, thousandths(credits)):
            raise InsufficientCredits(f"{caller.id} has not {credits:g} left")

    @asynccontextmanager
    async def paying(self, caller: Caller, credits: float | None = None) -> AsyncIterator[None]:
        """Around work that is paid for when it succeeds: `require` before and `charge` after.

        credits: by default what one cutout costs on the caller's plan.
        """
        cost = caller.plan.credits_per_cutout if credits is None else credits
        await self.require(caller, cost)
        yield
        await self.charge(caller, cost)

    async def close(self) -> None:
        """Lets go of the state."""
        await self._ledger.close()

    async def _holder(self, key: str) -> Caller:
        id = id_of(key)
        record = await self._ledger.find(id) if id else None
        if record is None or not proves(key, record):
            raise Unauthorized(f"{id or 'a malformed key'} is unknown, wrong or revoked")
        return self._caller(record.id, record.plan)

    def _caller(self, id: str, plan_name: str) -> Caller:
        plan = self._config.named(plan_name)
        if plan is None:  # better closed than without its limits
            raise AccountsUnavailable(f"{id} is on plan {plan_name!r}, which is not among the settings")
        if plan.in_flight is None:
            plan = plan.model_copy(update={"in_flight": self._share})
        return Caller(id, plan, id)

    async def _record(self, caller: Caller) -> KeyRecord | None:
        return await self._ledger.find(caller.id) if caller.id.startswith(_KEY) else None
