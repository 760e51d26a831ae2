"""What callers may take, as settings."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

DEFAULT_PLAN = "default"


class Rates(BaseModel):
    """What one caller may take at a time; whatever is unset has no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: int | None = Field(
        None, ge=1, le=1_000_000, description="Requests in a minute. Default: no limit."
    )
    megapixels_per_minute: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Megapixels of decoded sources in a minute; the picture that crosses the line is still "
        "served, the next one is not. Default: no limit.",
    )
    in_flight: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Requests of one caller worked on at once. Default: with a key half of "
        "limits.in_flight, without one no limit of its own.",
    )


class Allowance(Rates):
    """The same, and credits."""

    credits: float | None = Field(
        None, ge=0, le=1e9, description="Credits that a new key starts with. Default: unlimited."
    )
    credits_per_cutout: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Credits that one successful cutout costs, in thousandths at the finest.",
    )


class Plan(Allowance):
    """An allowance, and the name that keys refer to it by."""

    name: str


class RapidApiConfig(BaseModel):
    """Callers whom RapidAPI's proxy vouches for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    proxy_secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="The X-RapidAPI-Proxy-Secret of the API's listing. Default: these headers are ignored.",
    )
    plans: dict[str, str] = Field(
        {},
        description='Which plan each X-RapidAPI-Subscription is on: `{"PRO": "pro"}`; any other is on the '
        "default plan.",
    )


class AccountsConfig(BaseModel):
    """Keys, plans, and where their state is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: Path = Field(
        Path("accounts.sqlite"), description="SQLite file of keys and credits, on a disk of this machine."
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Keeps keys, credits and windows in Redis instead, for several replicas: "
        "`redis://…`, `rediss://…`; needs the extra `objectcut[redis]`.",
    )
    timeout: float = Field(
        2.0, gt=0, le=60, description="Seconds to wait for the database or Redis; then the answer is 503."
    )
    plan: Allowance = Field(Allowance(), description="The plan of keys that name no other.")
    anonymous: Rates = Field(Rates(), description="What each address may take where everybody is served.")
    plans: dict[str, Allowance] = Field(
        {}, description='Further plans by name: `{"pro": {"requests_per_minute": 600, "credits": 1000}}`.'
    )
    rapidapi: RapidApiConfig = Field(RapidApiConfig(), description="RapidAPI.")

    @model_validator(mode="after")
    def _check_plans(self) -> Self:
        if DEFAULT_PLAN in self.plans:
            raise ValueError("the default plan is `plan`, not one of `plans`")
        for subscription, name in self.rapidapi.plans.items():
            if self.named(name) is None:
                raise ValueError(f"rapidapi.plans: {subscription} is on {name!r}, which is no plan")
        return self

    def named(self, name: str) -> Plan | None:
        """The plan of that name."""
        allowance = self.plan if name == DEFAULT_PLAN else self.plans.get(name)
        return Plan(name=name, **allowance.model_dump()) if allowance else None

    def serves_somebody(self) -> bool:
        """Whether there may be keys: of RapidAPI, in Redis, or in the file that `objectcut keys` makes."""
        return bool(self.rapidapi.proxy_secret or self.redis_url) or self.database.is_file()
