"""Models in memory under a budget: shared loads, eviction, failures that are remembered."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from model.deadline import Deadline
from model.errors import DeviceLost, Draining, ModelUnavailable
from model.residency import Residency
from tests.fakes import FakeClock


@dataclass
class Model:
    """memory_bytes: what it turns out to take."""

    name: str
    memory_bytes: int
    gone: bool = False

    async def leave(self) -> None:
        self.gone = True


@dataclass
class Shelf:
    """Where models are loaded from. sizes: what they take. thought: what is believed before, if not that.

    broken: raised by loads of that name. gate: while it is cleared, loads wait for it.
    """

    sizes: dict[str, int]
    thought: dict[str, int] = field(default_factory=dict)
    broken: dict[str, Exception] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    loads: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.gate.set()

    async def load(self, name: str) -> Model:
        self.loads.append(name)
        await self.gate.wait()
        if name in self.broken:
            raise self.broken[name]
        return Model(name, self.sizes[name])

    async def estimate(self, name: str) -> int:
        return self.thought.get(name, self.sizes[name])


def later(seconds: float = 10) -> Deadline:
    return Deadline.after(seconds)


@asynccontextmanager
async def residency(shelf: Shelf, *names: str, **options: Any) -> AsyncIterator[Residency[Model]]:
    """Those of `names` that fit are there already; no task is left behind."""
    before = asyncio.all_tasks()
    models: Residency[Model] = Residency(shelf.load, shelf.estimate, clock=shelf.clock, **options)
    await models.settle(names)
    yield models
    await models.close()
    assert asyncio.all_tasks() == before


async def used(models: Residency[Model], name: str, deadline: Deadline | None = None) -> str:
    async with models.use(name, deadline or later()) as model:
        assert not model.gone
        return model.name


def there(models: Residency[Model]) -> set[str]:
    return set(models.residents)


async def test_without_a_budget_all_stay() -> None:
    shelf = Shelf({"a": 10, "b": 10, "c": 10})
    async with residency(shelf, "a", "b", "c") as models:
        assert there(models) == {"a", "b", "c"}
        assert [await used(models, name) for name in "abcabc"] == list("abcabc")
        assert shelf.loads == ["a", "b", "c"]


async def test_what_does_not_fit_waits_to_be_wanted() -> None:
    shelf = Shelf({"a": 10, "b": 10, "c": 5})
    async with residency(shelf, "a", "b", "c", budget=16) as models:
        assert there(models) == {"a", "c"}
        assert shelf.loads == ["a", "c"]
        assert models.failure("b") is None
        assert await used(models, "b") == "b"
        assert there(models) == {"b", "c"}


async def test_the_one_unused_for_longest_makes_room() -> None:
    shelf = Shelf(dict.fromkeys("abcd", 10))
    async with residency(shelf, *"abc", budget=30) as models:
        for name in "abca":
            await used(models, name)
        gone = models.residents["b"]
        await used(models, "d")
        assert there(models) == {"c", "a", "d"}
        assert gone.gone


async def test_a_model_in_use_stays_and_the_wait_is_for_an_idle_one() -> None:
    shelf = Shelf(dict.fromkeys("abc", 10))
    async with residency(shelf, "a", "b", budget=20) as models, models.use("a", later()):
        async with models.use("b", later()):
            wanted = asyncio.create_task(used(models, "c"))
            await asyncio.sleep(0.01)
            assert there(models) == {"a", "b"}
        assert await wanted == "c"
        assert there(models) == {"a", "c"}


async def test_callers_of_one_moment_share_a_load() -> None:
    shelf = Shelf({"a": 10})
    async with residency(shelf) as models:
        assert await asyncio.gather(*(used(models, "a") for _ in range(20))) == ["a"] * 20
        assert shelf.loads == ["a"]


async def test_who_has_no_time_left_is_told_to_come_again_and_the_load_goes_on() -> None:
    shelf = Shelf({"a": 10})
    shelf.gate.clear()
    async with residency(shelf) as models:
        patient = asyncio.create_task(used(models, "a"))
        with pytest.raises(ModelUnavailable, match="being loaded") as refused:
            await used(models, "a", later(0.02))
        assert refused.value.retry_after == 5
        shelf.gate.set()
        assert await patient == "a"
        assert await used(models, "a", later(0.02)) == "a"
        assert shelf.loads == ["a"]


async def test_a_caller_who_leaves_does_not_end_the_load_of_others() -> None:
    shelf = Shelf({"a": 10})
    shelf.gate.clear()
    async with residency(shelf) as models:
        first, second = (asyncio.create_task(used(models, "a")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        shelf.gate.set()
        assert await second == "a"
        assert shelf.loads == ["a"]


async def test_too_long_a_wait_for_an_idle_one_is_no_lasting_failure() -> None:
    shelf = Shelf({"a": 10, "b": 10})
    async with residency(shelf, "a", budget=10, patience=0.02) as models:
        async with models.use("a", later()):
            with pytest.raises(ModelUnavailable, match="no memory for model 'b' beside others") as refused:
                await used(models, "b")
            assert refused.value.retry_after == 5
        assert models.failure("b") is None
        assert await used(models, "b") == "b"


@pytest.mark.parametrize(
    ("error", "public"),
    [
        pytest.param(ModelUnavailable("bring it"), "bring it", id="its text is public"),
        pytest.param(ZeroDivisionError("secret"), "model 'a' could not be loaded", id="its text is not"),
    ],
)
async def test_a_failed_load_is_remembered_for_a_while(error: Exception, public: str) -> None:
    shelf = Shelf({"a": 10}, broken={"a": error})
    async with residency(shelf, "a", hold=60) as models:
        assert models.failure("a") == public
        for _ in range(5):
            with pytest.raises(ModelUnavailable, match=public) as refused:
                await used(models, "a")
            assert refused.value.retry_after == 60
        assert shelf.loads == ["a"]
        shelf.clock.now += 61
        shelf.broken.clear()
        assert await used(models, "a") == "a"
        assert models.failure("a") is None


async def test_a_failed_load_is_tried_again_though_nobody_asks() -> None:
    """While a model counts as failed no request is led to it."""
    shelf = Shelf({"a": 10}, broken={"a": ModelUnavailable("bring it")})
    async with residency(shelf, "a", hold=0.02) as models:
        while len(shelf.loads) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert models.failure("a") == "bring it"
        shelf.broken.clear()
        while not there(models):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert models.failure("a") is None


async def test_a_retry_sends_no_other_model_away() -> None:
    shelf = Shelf({"a": 10, "b": 10}, broken={"b": ModelUnavailable("bring it")})
    async with residency(shelf, "a", budget=10, hold=0.02) as models:
        with pytest.raises(ModelUnavailable, match="bring it"):
            await used(models, "b")
        shelf.broken.clear()
        assert await used(models, "a") == "a"
        while models.failure("b"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert there(models) == {"a"}, "it is loaded when a request names it"


async def test_a_lost_device_is_no_passing_failure() -> None:
    shelf = Shelf({"a": 10}, broken={"a": DeviceLost("device-side assert")})
    async with residency(shelf, "a", hold=0.01) as models:
        await asyncio.sleep(0.05)
        assert models.failure("a") == "model 'a' has lost its device"
        assert shelf.loads == ["a"]


async def test_all_who_wait_are_told_of_the_failure() -> None:
    shelf = Shelf({"a": 10}, broken={"a": ModelUnavailable("bring it")})
    async with residency(shelf) as models:
        results = await asyncio.gather(*(used(models, "a") for _ in range(3)), return_exceptions=True)
        assert [str(result) for result in results] == ["bring it"] * 3
        assert shelf.loads == ["a"]


@pytest.mark.parametrize(
    "thought", [pytest.param({}, id="known before"), pytest.param({"a": 5}, id="found out by loading")]
)
async def test_a_model_beyond_the_whole_budget_never_serves(thought: dict[str, int]) -> None:
    shelf = Shelf({"a": 20_000_000}, thought)
    async with residency(shelf, "a", budget=10_000_000) as models:
        with pytest.raises(
            ModelUnavailable, match="'a' takes 20 MB, and the server's memory budget is 10 MB"
        ):
            await used(models, "a")
        assert there(models) == set()


async def test_a_model_larger_than_was_thought_makes_room_for_itself() -> None:
    shelf = Shelf({"a": 10, "b": 10}, {"b": 2})
    async with residency(shelf, "a", "b", budget=15) as models:
        assert there(models) == {"a"}, "at the start it is the later one that leaves"
        assert await used(models, "b") == "b"
        assert there(models) == {"b"}


async def test_a_lost_model_is_lost_for_good() -> None:
    shelf = Shelf({"a": 10})
    async with residency(shelf, "a") as models:
        models.lose("a", "its device is lost")
        shelf.clock.now += 1e9
        with pytest.raises(ModelUnavailable, match="its device is lost") as refused:
            await used(models, "a")
        assert refused.value.retry_after is None
        assert shelf.loads == ["a"]


async def test_closing_ends_the_loads_and_begins_none() -> None:
    shelf = Shelf({"a": 10, "b": 10})
    shelf.gate.clear()
    async with residency(shelf) as models:
        waiting = asyncio.create_task(used(models, "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await models.close()
        with pytest.raises(Draining):
            await waiting
        with pytest.raises(Draining):
            await used(models, "b")
        assert shelf.loads == ["a"]


async def test_never_more_than_the_budget_whatever_is_wanted() -> None:
    shelf = Shelf({"a": 3, "b": 4, "c": 5, "d": 6, "e": 7})
    most = 0

    async with residency(shelf, *"abcde", budget=11) as models:

        async def caller(turn: int) -> None:
            nonlocal most
            async with models.use("abcde"[turn * turn % 5], later(30)) as model:
                most = max(most, sum(other.memory_bytes for other in models.residents.values()))
                await asyncio.sleep(0.0005 * (turn % 3))
                assert not model.gone

        await asyncio.gather(*(caller(turn) for turn in range(100)))
    assert 7 <= most <= 11


async def test_two_that_do_not_fit_beside_each_other_are_served_in_turn() -> None:
    shelf = Shelf({"a": 3, "b": 3})
    async with residency(shelf, "a", "b", budget=4) as models:

        async def caller(turn: int) -> None:
            async with models.use("ab"[turn % 2], later(5)):
                await asyncio.sleep(0.001)

        await asyncio.gather(*(caller(turn) for turn in range(20)))
    assert len(shelf.loads) < 10


async def test_what_is_brought_already_is_not_brought_again() -> None:
    shelf = Shelf({"a": 3})
    shelf.gate.clear()
    models = Residency(shelf.load, shelf.estimate, budget=4, patience=1.0)
    settling = asyncio.create_task(models.settle(["a"]))
    using = asyncio.create_task(used(models, "a"))
    await asyncio.sleep(0.01)
    shelf.gate.set()
    await asyncio.gather(settling, using)
    assert shelf.loads == ["a"]
    await models.close()
