"""The service with two keys: what the tests of /v1.0 call."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from api.accounts import Accounts, AccountsConfig
from api.accounts.keys import KeyRecord, make_key, thousandths
from tests.api.routes.removebg.sent import FILE, web
from tests.fakes import MemoryLedger
from tests.service import Served, serving


@dataclass
class Client:
    """The service, and a key with ten credits."""

    served: Served
    key: str

    @property
    def http(self) -> httpx.AsyncClient:
        return self.served.http

    async def remove(self, files: dict[str, Any] | None = None, /, **fields: Any) -> httpx.Response:
        """A multipart form, as most clients send it, of the photo and these fields."""
        return await self.http.post("/v1.0/removebg", files=FILE | (files or {}), data=fields)

    async def left(self) -> float:
        body = (await self.http.get("/v1.0/account")).json()
        return float(body["data"]["attributes"]["credits"]["total"])


async def account(ledger: MemoryLedger, plan: str = "default", credits: float | None = 10.0) -> str:
    """A new key."""
    key, id, digest = make_key()
    thousand = None if credits is None else thousandths(credits)
    await ledger.add(KeyRecord(id, digest, plan, "", 0, balance=thousand, granted=thousand))
    return key


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """Whose key is shown with every request."""
    ledger = MemoryLedger()
    key = await account(ledger)
    config = AccountsConfig.model_validate({"plan": {"requests_per_minute": 500}})
    async with serving(
        {"anonymous": False, "secret_access": "the-operator-s-own"},
        fetcher=web(),
        accounts=Accounts(config, ledger),
    ) as served:
        served.http.headers["X-Api-Key"] = key
        yield Client(served, key)
