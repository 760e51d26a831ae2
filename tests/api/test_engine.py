"""LocalEngine: models of a registry behind the Engine seam, the lame ones beside those that serve."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from api.engine import EngineConfig, LocalEngine
from api.errors import InvalidOptions, as_error
from api.types import Deadline, Engine
from model import weights
from model.errors import DeadlineExceeded, DeviceLost, Draining, ModelUnavailable, Overloaded
from model.registry import ModelSpec
from tests.model.toy import SIDE, Slow, Toy, raising, toy_spec
from tests.processes import niceness

TOY = toy_spec()
OTHER = toy_spec(name="other")
FRAIL = toy_spec(raising("CUDA error: device-side assert triggered"), name="frail")
SLOW = toy_spec(Slow, name="slow")
REGISTRY = {spec.name: spec for spec in (TOY, OTHER, FRAIL, SLOW)}
RGB = np.random.default_rng(0).integers(0, 250, (120, 90, 3), dtype=np.uint8)
WHITE = np.full((120, 90, 3), 255, np.uint8)


def built(
    directory: Path, *models: str, registry: Mapping[str, ModelSpec] = REGISTRY, **options: Any
) -> LocalEngine:
    """An engine, not started, for which every model but `other` has weights."""
    for spec in (TOY, FRAIL, SLOW):
        weights.store(spec, spec.build().state_dict(), directory)
    seams = {name: options.pop(name) for name in ("on_batch", "on_second_look", "on_lost") if name in options}
    where = {"model_dir": directory, "device": "cpu", "runtime": "torch", "cores": 2}
    settings = {"models": models or ("toy",)} | where | options
    return LocalEngine(EngineConfig.model_validate(settings), registry=registry, **seams)


@asynccontextmanager
async def serving(directory: Path, *models: str, **options: Any) -> AsyncIterator[LocalEngine]:
    engine = built(directory, *models, **options)
    await engine.start()
    yield engine
    await engine.close()
    assert (engine.waiting, engine.running) == (0, 0)


def later() -> Deadline:
    return Deadline.after(20)


async def test_a_picture_in_its_matte_out(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    async with serving(tmp_path, on_batch=lambda model, size: told.append((model, size))) as local:
        engine: Engine = local
        alpha = await engine.matte(RGB, model="toy", deadline=later())
        assert alpha.shape == (SIDE, SIDE)
        assert alpha.dtype == np.float32
        assert 0 <= alpha.min() < alpha.max() <= 1
        again = await asyncio.gather(*(engine.matte(RGB, model="toy", deadline=later()) for _ in range(5)))
        assert all(np.array_equal(alpha, other) for other in again)
        assert told == [("toy", 1)] * 6


async def test_second_looks_are_told_of(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    registry = {"toy": replace(TOY, second_look=-1.0), "frail": FRAIL}
    tell = {"on_second_look": lambda model, count: told.append((model, count))}
    async with serving(tmp_path, "toy", "frail", registry=registry, **tell) as engine:
        for model in ("toy", "frail"):
            await engine.matte(RGB, model=model, deadline=later())
    assert told == [("toy", 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="only there has a thread a priority")
async def test_its_threads_come_after_the_loop(tmp_path: Path) -> None:
    async with serving(tmp_path) as engine:
        await engine.matte(RGB, model="toy", deadline=later())
        found = {each.name: niceness(each.native_id or 0) for each in threading.enumerate()}
    for name in ("load_0", "resize_0", "device_0"):
        assert found[name] == found["MainThread"] + 5


async def test_status_tells_what_runs(tmp_path: Path) -> None:
    async with serving(tmp_path) as engine:
        await engine.matte(RGB, model="toy", deadline=later())
        status = engine.status()
        facts = status["models"]["toy"]
        assert status["ready"] is True
        assert len(facts.pop("sha256")) == 64
        assert facts.pop("precision") in {"float32", "bfloat16"}
        assert facts.pop("memory_bytes") > 0
        assert facts == {
            "resident": True,
            "warm": True,
            "device": "cpu",
            "device_name": "cpu",
            "runtime": "torch",
            "streams": 2,
            "max_batch": 1,
            "batch_cap": 1,
            "waiting": 0,
            "running": 0,
            "last_error": None,
        }


async def test_models_lists_the_registry(tmp_path: Path) -> None:
    async with serving(tmp_path) as engine:
        models = {model.pop("name"): model for model in engine.models()}
        assert {name: model["available"] for name, model in models.items()} == {
            "toy": True,
            "other": False,
            "frail": False,
            "slow": False,
        }
        assert models["other"] == {
            "available": False,
            "description": "A toy.",
            "input_width": SIDE,
            "input_height": SIDE,
            "resolutions": None,
            "licence": "MIT",
            "paper": "none",
            "source": "tests/model/toy.py",
        }


async def test_a_name_that_does_not_exist(tmp_path: Path) -> None:
    async with serving(tmp_path) as engine:
        for name in ("nope", "../toy", "", "toy\0"):
            with pytest.raises(InvalidOptions) as refused:
                await engine.matte(RGB, model=name, deadline=later())
            assert refused.value.public == "model: must be one of toy, other, frail, slow"


@pytest.mark.parametrize(
    "models", [pytest.param(("toy", "other"), id="configured"), pytest.param(("toy",), id="not configured")]
)
async def test_missing_weights_name_the_command_and_others_serve(
    tmp_path: Path, models: tuple[str, ...]
) -> None:
    async with serving(tmp_path, *models) as engine:
        with pytest.raises(ModelUnavailable) as refused:
            await engine.matte(RGB, model="other", deadline=later())
        error = as_error(refused.value)
        assert error.status == 503
        assert "`objectcut models import other FILE`" in error.public
        assert (await engine.matte(RGB, model="toy", deadline=later())).shape == (SIDE, SIDE)
        assert engine.status()["ready"] is ("other" not in models)
        if "other" in models:
            facts = engine.status()["models"]["other"]
            assert facts == {"resident": False, "warm": False, "reason": str(refused.value)}
            assert 0 < (error.retry_after or 0) <= 60


@pytest.mark.parametrize("models", [pytest.param(("hub",), id="configured"), pytest.param((), id="not")])
async def test_weights_of_a_hub_name_its_command(tmp_path: Path, models: tuple[str, ...]) -> None:
    spec = toy_spec(name="hub")
    spec = replace(spec, weights=replace(spec.weights, repo="org/hub"))
    async with serving(tmp_path, "toy", *models, registry=REGISTRY | {"hub": spec}) as engine:
        with pytest.raises(ModelUnavailable, match="`objectcut models pull hub`"):
            await engine.matte(RGB, model="hub", deadline=later())
        assert (await engine.matte(RGB, model="toy", deadline=later())).shape == (SIDE, SIDE)


async def test_damaged_weights_are_told_by_status(tmp_path: Path) -> None:
    engine = built(tmp_path)
    torch.save(Toy().state_dict(), tmp_path / "published.pth")
    path = weights.import_weights(tmp_path / "published.pth", TOY, tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    await engine.start()
    facts = engine.status()["models"]["toy"]
    assert facts["warm"] is False
    assert "are damaged: sha256" in facts["reason"]
    await engine.close()


async def test_a_model_that_breaks_while_loading_does_not_take_the_process_along(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> torch.nn.Module:
        raise ZeroDivisionError("inner secret")

    registry = REGISTRY | {"broken": toy_spec(explode, name="broken")}
    (tmp_path / "broken.safetensors").write_bytes((weights_of(tmp_path) / "toy.safetensors").read_bytes())
    async with serving(tmp_path, "broken", "toy", registry=registry) as engine:
        assert engine.status()["models"]["broken"]["reason"] == "model 'broken' could not be loaded"
        assert (await engine.matte(RGB, model="toy", deadline=later())).shape == (SIDE, SIDE)
    assert "inner secret" in caplog.text


def weights_of(directory: Path) -> Path:
    weights.store(TOY, TOY.build().state_dict(), directory)
    return directory


async def test_before_the_start_nothing_serves(tmp_path: Path) -> None:
    engine = built(tmp_path)
    assert engine.status()["ready"] is False
    with pytest.raises(ModelUnavailable, match="still being loaded"):
        await engine.matte(RGB, model="toy", deadline=later())
    await engine.close()


async def test_a_configured_device_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    missing = "mps" if torch.cuda.is_available() else "cuda"
    engine = built(tmp_path, device=missing)
    with pytest.raises(ValueError, match=missing):
        await engine.start()
    await engine.close()


def test_a_configured_model_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such model: nope; there are toy, other, frail, slow"):
        built(tmp_path, "toy", "nope")


DYNAMIC = replace(toy_spec(name="dynamic"), sides=(32, 128))


async def test_a_resolution_within_the_models_range(tmp_path: Path) -> None:
    weights.store(DYNAMIC, Toy().state_dict(), tmp_path)
    async with serving(
        tmp_path, "dynamic", registry=REGISTRY | {"dynamic": DYNAMIC}, max_batch=4, cores=1
    ) as engine:
        sides = [None, 32, 128, 32, 96, None]
        alphas = await asyncio.gather(
            *(engine.matte(RGB, model="dynamic", resolution=side, deadline=later()) for side in sides)
        )
        assert [alpha.shape for alpha in alphas] == [(side or SIDE, side or SIDE) for side in sides]
        assert np.array_equal(alphas[1], alphas[3])
        assert {model["name"]: model["resolutions"] for model in engine.models()} == {
            "toy": None,
            "other": None,
            "frail": None,
            "slow": None,
            "dynamic": (32, 128),
        }


@pytest.mark.parametrize(
    ("model", "told"),
    [
        pytest.param("toy", "resolution: model 'toy' runs at 64 x 64 px only", id="no choice"),
        pytest.param(
            "dynamic", "resolution: model 'dynamic' takes multiples of 32 from 32 to 128 px", id="range"
        ),
    ],
)
async def test_a_resolution_that_the_model_does_not_take(tmp_path: Path, model: str, told: str) -> None:
    weights.store(DYNAMIC, Toy().state_dict(), tmp_path)
    async with serving(tmp_path, model, registry=REGISTRY | {"dynamic": DYNAMIC}) as engine:
        with pytest.raises(InvalidOptions) as refused:
            await engine.matte(RGB, model=model, resolution=160, deadline=later())
        assert refused.value.public == told


async def test_models_take_turns_within_a_budget(tmp_path: Path) -> None:
    async with serving(tmp_path, precision="float32") as alone:
        taken = alone.status()["models"]["toy"]["memory_bytes"]
    async with serving(tmp_path, "toy", "slow", precision="float32", memory_budget=taken * 7 // 4) as engine:
        assert residents(engine) == {"toy"}
        assert engine.status()["ready"] is True
        facts = engine.status()["models"]["slow"]
        assert facts == {"resident": False, "warm": False, "reason": "loaded when a request names it"}
        assert {model["name"] for model in engine.models() if model["available"]} == {"toy", "slow"}
        alphas = await asyncio.gather(
            *(engine.matte(RGB, model=name, deadline=later()) for name in ("slow", "toy", "slow", "slow"))
        )
        assert [alpha.shape for alpha in alphas] == [(SIDE, SIDE)] * 4
        assert residents(engine) == {"slow"}
        await engine.matte(RGB, model="toy", deadline=later())
        assert residents(engine) == {"toy"}


async def test_a_budget_that_is_too_small_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path, memory_budget=1000) as engine:
        assert engine.status()["ready"] is False
        with pytest.raises(ModelUnavailable, match="memory budget is 0 MB"):
            await engine.matte(RGB, model="toy", deadline=later())


def residents(engine: LocalEngine) -> set[str]:
    return {name for name, facts in engine.status()["models"].items() if facts["resident"]}


async def test_late_callers_are_turned_away(tmp_path: Path) -> None:
    async with serving(tmp_path) as engine:
        with pytest.raises(DeadlineExceeded):
            await engine.matte(RGB, model="toy", deadline=Deadline.after(0))


async def test_a_full_queue_sheds(tmp_path: Path) -> None:
    async with serving(tmp_path, "slow", cores=1, max_queue=1) as engine:
        results = await asyncio.gather(
            *(engine.matte(RGB, model="slow", deadline=later()) for _ in range(30)), return_exceptions=True
        )
        shed = [result for result in results if isinstance(result, Overloaded)]
        served = [result for result in results if isinstance(result, np.ndarray)]
        assert shed
        assert served
        assert len(shed) + len(served) == 30
        assert all(error.retry_after >= 1 for error in shed)


async def test_closing_answers_what_was_accepted(tmp_path: Path) -> None:
    engine = built(tmp_path, "slow")
    await engine.start()
    accepted = [asyncio.create_task(engine.matte(RGB, model="slow", deadline=later())) for _ in range(4)]
    async with asyncio.timeout(5):
        while (engine.waiting, engine.running) != (2, 2):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
    await engine.close()
    assert [alpha.shape for alpha in await asyncio.gather(*accepted)] == [(SIDE, SIDE)] * 4
    with pytest.raises(Draining):
        await engine.matte(RGB, model="slow", deadline=later())


async def test_a_lost_device_is_told_and_no_longer_used(tmp_path: Path) -> None:
    lost: list[str] = []
    async with serving(tmp_path, "frail", "toy", on_lost=lost.append) as engine:
        assert engine.status()["ready"] is True
        with pytest.raises(DeviceLost):
            await engine.matte(WHITE, model="frail", deadline=later())
        assert lost == ["frail: CUDA error: device-side assert triggered"]
        assert engine.status()["ready"] is False
        with pytest.raises(ModelUnavailable, match="lost its device"):
            await engine.matte(RGB, model="frail", deadline=later())


def test_importing_the_engine_does_not_wait_for_torch() -> None:
    code = "import sys, api.engine; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
