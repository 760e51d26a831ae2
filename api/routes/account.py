"""GET /v1/account: what a caller may still take."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.limits import Gate


class CreditState(BaseModel):
    """Credits of a key."""

    left: float = Field(description="Credits that are left.")
    total: float = Field(description="Credits that were ever given.")


class RateState(BaseModel):
    """The current minute, this request included."""

    limit: int = Field(description="Requests in a minute, or megapixels where only these are limited.")
    remaining: int = Field(description="How many of them are left.")
    reset: int = Field(description="When the minute ends, Unix seconds.")


class Account(BaseModel):
    """Who the caller is to this service."""

    id: str = Field(description="`key_…`, `rapidapi:USER`, `secret` or `anonymous`.")
    plan: str
    credits: CreditState | None = Field(description="null: unlimited.")
    credits_per_cutout: float
    rate: RateState | None = Field(description="null: no limit.")
    megapixels_per_minute: float | None = Field(description="null: no limit.")
    in_flight: int | None = Field(description="Requests at once; null: no limit of its own.")


def routes(gate: Gate) -> APIRouter:
    """The router of /v1/account."""
    router = APIRouter(prefix="/v1", tags=["service"])

    @router.get("/account", response_model=Account)
    async def account(request: Request) -> Response:
        """The caller's plan, credits and rate."""
        caller = (await gate.admit(request)).caller
        balance, rate = await gate.accounts.balance(caller), await gate.accounts.rate(caller)
        left, total = balance.credits, balance.total
        body = Account(
            id=caller.id,
            plan=caller.plan.name,
            credits=None if left is None or total is None else CreditState(left=left, total=total),
            credits_per_cutout=caller.plan.credits_per_cutout,
            rate=rate
            and RateState(limit=rate.limit, remaining=rate.remaining, reset=rate.reset_epoch_seconds),
            megapixels_per_minute=caller.plan.megapixels_per_minute,
            in_flight=caller.plan.in_flight,
        )
        return Response(
            body.model_dump_json(), headers={"Cache-Control": "no-store"}, media_type="application/json"
        )

    return router
