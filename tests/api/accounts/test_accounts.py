"""Who is who, what each may take, and that nobody pays for what failed."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.requests import Request

from api.accounts import Accounts, AccountsConfig, Ledger
from api.accounts.keys import KeyRecord, make_key
from api.errors import AccountsUnavailable, InsufficientCredits, RateLimited, Unauthorized
from tests.fakes import MemoryLedger

SECRET = "the-operators-own-secret"
PROXY = "a-secret-of-the-proxy"
CONFIG: dict[str, Any] = {
    "plan": {"requests_per_minute": 3},
    "anonymous": {"requests_per_minute": 2},
    "plans": {"pro": {"megapixels_per_minute": 10, "in_flight": 7, "credits_per_cutout": 0.5}},
    "rapidapi": {"proxy_secret": PROXY, "plans": {"PRO": "pro"}},
}


def request(headers: Mapping[str, str] | None = None, client: str = "198.51.100.7") -> Request:
    """As it comes from a server."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return Request({"type": "http", "headers": raw, "client": (client, 1)})


def accounts(ledger: Ledger | None = None, *, anonymous: bool = False, **config: Any) -> Accounts:
    return Accounts(
        AccountsConfig.model_validate(CONFIG | config),
        ledger or MemoryLedger(),
        secret=SECRET,
        anonymous=anonymous,
        share=32,
    )


async def key_in(ledger: Ledger, *, plan: str = "default", balance: int | None = None) -> str:
    """A new key."""
    key, id, digest = make_key()
    await ledger.add(KeyRecord(id, digest, plan, "", 0, None, balance, balance))
    return key


class TestRecall:
    """Callers of jobs, as they stand when their turn has come."""

    @pytest.mark.parametrize(
        ("id", "plan", "now", "bucket"),
        [
            pytest.param("secret", "operator", "operator", "secret", id="operator"),
            pytest.param("anonymous", "anonymous", "anonymous", "anonymous:1.2.3.4", id="anonymous"),
            pytest.param("rapidapi:ann", "pro", "pro", "rapidapi:ann", id="RapidAPI"),
        ],
    )
    async def test_who_has_no_record(self, id: str, plan: str, now: str, bucket: str) -> None:
        caller = await accounts().recall(id, plan, bucket)
        assert (caller.id, caller.plan.name, caller.bucket) == (id, now, bucket)

    async def test_a_key_is_on_its_plan_of_today(self) -> None:
        ledger = MemoryLedger()
        await key_in(ledger, plan="pro")
        (id,) = ledger.records
        caller = await accounts(ledger).recall(id, "default", id)
        assert (caller.plan.name, caller.plan.credits_per_cutout) == ("pro", 0.5)
        await ledger.revoke(id)
        with pytest.raises(Unauthorized):
            await accounts(ledger).recall(id, "default", id)

    async def test_a_plan_that_is_no_more(self) -> None:
        with pytest.raises(AccountsUnavailable):
            await accounts().recall("rapidapi:ann", "gone", "rapidapi:ann")


class TestIdentity:
    @pytest.mark.parametrize(
        ("headers", "id", "plan"),
        [
            pytest.param({"X-Api-Key": SECRET}, "secret", "operator", id="operator"),
            pytest.param({"Authorization": f"Bearer {SECRET}"}, "secret", "operator", id="bearer"),
            pytest.param({"Authorization": f"bEARER  {SECRET} "}, "secret", "operator", id="sloppy bearer"),
            pytest.param(
                {
                    "X-RapidAPI-Proxy-Secret": PROXY,
                    "X-RapidAPI-User": "ann",
                    "X-RapidAPI-Subscription": "PRO",
                },
                "rapidapi:ann",
                "pro",
                id="RapidAPI, mapped",
            ),
            pytest.param(
                {
                    "X-RapidAPI-Proxy-Secret": PROXY,
                    "X-RapidAPI-User": "b.o-b_@x+1",
                    "X-Api-Key": "rapid's own",
                },
                "rapidapi:b.o-b_@x+1",
                "default",
                id="RapidAPI, no subscription",
            ),
            pytest.param(
                {
                    "X-RapidAPI-Proxy-Secret": PROXY,
                    "X-RapidAPI-User": "c",
                    "X-RapidAPI-Subscription": "x" * 99,
                },
                "rapidapi:c",
                "default",
                id="RapidAPI, unknown subscription",
            ),
        ],
    )
    async def test_who_is_known(self, headers: Mapping[str, str], id: str, plan: str) -> None:
        for anonymous in (False, True):
            caller = await accounts(anonymous=anonymous).identify(request(headers), "x-api-key")
            assert (caller.id, caller.plan.name, caller.bucket) == (id, plan, id)

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({}, id="nothing"),
            pytest.param({"X-Api-Key": ""}, id="empty"),
            pytest.param({"X-Api-Key": SECRET[:-1]}, id="a part of the secret"),
            pytest.param({"X-Api-Key": SECRET + "x"}, id="more than the secret"),
            pytest.param({"X-Api-Key": "Ünïcode"}, id="not ASCII"),
            pytest.param({"Authorization": f"Basic {SECRET}"}, id="another scheme"),
            pytest.param({"X-Secret-Access": SECRET}, id="another header"),
            pytest.param({"X-Forwarded-For": "127.0.0.1"}, id="a pretended address"),
            pytest.param({"X-RapidAPI-User": "ann", "X-RapidAPI-Subscription": "PRO"}, id="no proxy secret"),
        ],
    )
    async def test_who_is_not(self, headers: Mapping[str, str]) -> None:
        with pytest.raises(Unauthorized):
            await accounts().identify(request(headers), "x-api-key")
        caller = await accounts(anonymous=True).identify(request(headers), "x-api-key")
        assert (caller.id, caller.plan.name) == ("anonymous", "anonymous")

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"X-Api-Key": "oc_0123456789ab_" + "x" * 43}, id="unknown key"),
            pytest.param({"X-Api-Key": "oc_'; DROP TABLE keys"}, id="malformed key"),
            pytest.param({"X-RapidAPI-Proxy-Secret": "wrong", "X-RapidAPI-User": "ann"}, id="proxy"),
            pytest.param({"X-RapidAPI-Proxy-Secret": "", "X-RapidAPI-User": "ann"}, id="empty proxy"),
            pytest.param(
                {"X-RapidAPI-Proxy-Secret": "wrong", "X-RapidAPI-User": "ann", "X-Api-Key": SECRET},
                id="proxy, and a good key",
            ),
            pytest.param({"X-RapidAPI-Proxy-Secret": PROXY}, id="no user"),
            pytest.param({"X-RapidAPI-Proxy-Secret": PROXY, "X-RapidAPI-User": "a b/c"}, id="bad user"),
            pytest.param({"X-RapidAPI-Proxy-Secret": PROXY, "X-RapidAPI-User": "a" * 65}, id="long user"),
        ],
    )
    async def test_a_false_claim_is_never_anonymous(self, headers: Mapping[str, str]) -> None:
        with pytest.raises(Unauthorized):
            await accounts(anonymous=True).identify(request(headers), "x-api-key")

    async def test_without_its_secret_rapidapi_is_nobody(self) -> None:
        closed = accounts(rapidapi={})
        with pytest.raises(Unauthorized):
            await closed.identify(
                request({"X-RapidAPI-Proxy-Secret": "", "X-RapidAPI-User": "ann"}), "x-api-key"
            )

    async def test_a_key_is_good_until_it_is_revoked(self, ledger: Ledger) -> None:
        key, told = await key_in(ledger, plan="pro"), accounts(ledger)
        caller = await told.identify(request({"X-Secret-Access": key}), "x-secret-access")
        assert (caller.plan.name, caller.plan.in_flight, caller.bucket) == ("pro", 7, caller.id)
        with pytest.raises(Unauthorized):
            await told.identify(request({"X-Api-Key": key[:-2] + "xx"}), "x-api-key")
        assert await ledger.revoke(caller.id)
        for anonymous in (False, True):
            with pytest.raises(Unauthorized):
                await accounts(ledger, anonymous=anonymous).identify(request({"X-Api-Key": key}), "x-api-key")

    async def test_half_of_the_places_is_the_most_by_default(self) -> None:
        ledger = MemoryLedger()
        headers = {"X-Api-Key": await key_in(ledger)}
        caller = await accounts(ledger).identify(request(headers), "x-api-key")
        assert caller.plan.in_flight == 32

    async def test_a_plan_that_is_gone_is_not_without_limits(self) -> None:
        ledger = MemoryLedger()
        headers = {"X-Api-Key": await key_in(ledger, plan="of old")}
        with pytest.raises(AccountsUnavailable, match="of old"):
            await accounts(ledger).identify(request(headers), "x-api-key")

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            pytest.param("198.51.100.7", "198.51.100.8", False, id="IPv4"),
            pytest.param("2001:db8::1", "2001:db8:0:0:ffff::2", True, id="one IPv6 network"),
            pytest.param("2001:db8::1", "2001:db8:0:1::1", False, id="two IPv6 networks"),
            pytest.param("::ffff:198.51.100.7", "198.51.100.7", True, id="IPv4 in IPv6"),
            pytest.param("::ffff:198.51.100.7", "::ffff:198.51.100.8", False, id="two of them"),
            pytest.param("a socket", "another\x00", True, id="no address"),
        ],
    )
    async def test_anonymous_callers_are_told_apart_by_address(
        self, one: str, other: str, same: bool
    ) -> None:
        asked = accounts(anonymous=True)
        callers = [await asked.identify(request(client=each), "x-api-key") for each in (one, other)]
        assert (callers[0].bucket == callers[1].bucket) is same
        for _ in range(2):
            await asked.enter(callers[0])
        if same:
            with pytest.raises(RateLimited):
                await asked.enter(callers[1])
        else:
            await asked.enter(callers[1])


class TestRates:
    async def test_requests_of_a_minute(self) -> None:
        ledger = MemoryLedger()
        asked = accounts(ledger)
        one, two = [
            await asked.identify(request({"X-Api-Key": await key_in(ledger)}), "x-api-key") for _ in range(2)
        ]
        left = []
        for _ in range(3):
            await asked.enter(one)
            rate = await asked.rate(one)
            assert rate
            assert rate.limit == 3
            assert time.time() < rate.reset_epoch_seconds <= time.time() + 61
            left.append(rate.remaining)
        assert left == [2, 1, 0]
        with pytest.raises(RateLimited) as told:
            await asked.enter(one)
        assert told.value.retry_after
        assert 50 < told.value.retry_after <= 60
        await asked.enter(two)

    async def test_megapixels_of_a_minute(self) -> None:
        ledger = MemoryLedger()
        asked = accounts(ledger)
        headers = {"X-Api-Key": await key_in(ledger, plan="pro")}
        caller = await asked.identify(request(headers), "x-api-key")
        await asked.enter(caller)
        await asked.spend_pixels(caller, 9.5)
        rate = await asked.rate(caller)
        assert rate
        assert (rate.limit, rate.remaining) == (10, 0)
        await asked.enter(caller)
        await asked.spend_pixels(caller, 25)  # crosses the line, and is still served
        for refused in (asked.enter(caller), asked.spend_pixels(caller, 0.001)):
            with pytest.raises(RateLimited, match="megapixels"):
                await refused

    async def test_before_the_first_request_the_minute_is_whole(self) -> None:
        asked = accounts(anonymous=True)
        rate = await asked.rate(await asked.identify(request(), "x-api-key"))
        assert rate
        assert (rate.limit, rate.remaining) == (2, 2)
        assert rate.reset_epoch_seconds > time.time() + 50

    async def test_of_a_hundred_at_once_only_the_allowed_enter(self) -> None:
        asked = accounts(plan={"requests_per_minute": 30}, rapidapi={"proxy_secret": PROXY})
        headers = {"X-RapidAPI-Proxy-Secret": PROXY, "X-RapidAPI-User": "ann"}
        caller = await asked.identify(request(headers), "x-api-key")
        ended = await asyncio.gather(*(asked.enter(caller) for _ in range(100)), return_exceptions=True)
        assert ended.count(None) == 30
        assert all(each is None or isinstance(each, RateLimited) for each in ended)


class TestCredits:
    async def test_success_is_paid_for(self, ledger: Ledger) -> None:
        asked = accounts(ledger)
        headers = {"X-Api-Key": await key_in(ledger, plan="pro", balance=1250)}
        caller = await asked.identify(request(headers), "x-api-key")
        async with asked.paying(caller):
            assert (await asked.balance(caller)).credits == 1.25, "nothing is paid in advance"
        async with asked.paying(caller, 0.25):
            pass
        balance = await asked.balance(caller)
        assert (balance.credits, balance.total) == (0.5, 1.25)

    async def test_failure_is_not(self, ledger: Ledger) -> None:
        asked = accounts(ledger)
        headers = {"X-Api-Key": await key_in(ledger, balance=1000)}
        caller = await asked.identify(request(headers), "x-api-key")
        with pytest.raises(ZeroDivisionError):
            async with asked.paying(caller):
                raise ZeroDivisionError
        assert (await asked.balance(caller)).credits == 1

    async def test_who_cannot_pay_is_told_before_the_work(self, ledger: Ledger) -> None:
        asked = accounts(ledger)
        headers = {"X-Api-Key": await key_in(ledger, balance=999)}
        caller = await asked.identify(request(headers), "x-api-key")
        worked = False
        with pytest.raises(InsufficientCredits):
            async with asked.paying(caller):
                worked = True
        assert not worked

    async def test_the_last_credit_is_paid_once(self, ledger: Ledger) -> None:
        asked = accounts(ledger)
        headers = {"X-Api-Key": await key_in(ledger, balance=1000)}
        caller = await asked.identify(request(headers), "x-api-key")
        both = asyncio.Barrier(2)

        async def cut() -> None:
            async with asked.paying(caller):
                await both.wait()

        ended = await asyncio.gather(cut(), cut(), return_exceptions=True)
        assert sorted(type(each).__name__ for each in ended) == ["InsufficientCredits", "NoneType"]
        assert (await asked.balance(caller)).credits == 0

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"X-Api-Key": SECRET}, id="operator"),
            pytest.param({"X-RapidAPI-Proxy-Secret": PROXY, "X-RapidAPI-User": "ann"}, id="RapidAPI"),
            pytest.param({}, id="anonymous"),
        ],
    )
    async def test_others_have_no_credits_to_count(self, headers: Mapping[str, str]) -> None:
        asked = accounts(anonymous=True, plan={"credits": 0})
        caller = await asked.identify(request(headers), "x-api-key")
        async with asked.paying(caller, 1e6):
            pass
        balance = await asked.balance(caller)
        assert (balance.credits, balance.total) == (None, None)
