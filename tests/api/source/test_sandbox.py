"""What a decoding process has taken away from itself."""

import ast
import sys

import pytest

from api.source.isolation import DecodePool
from tests.api.source.conftest import LIMITS, Victim
from tests.api.source.hostile import ENTRY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp and these limits are Linux's")


@pytest.mark.parametrize("deed", ["socket", "program", "kill"])
async def test_calls_that_no_decoder_needs_are_denied(victim: Victim, deed: str) -> None:
    assert (await victim.says(deed)).startswith("PermissionError")


async def test_the_shared_memory_keeps_its_size(victim: Victim) -> None:
    """The service, which reads it, would end with SIGBUS."""
    assert "PermissionError" in (outcome := await victim.says("shrink"))
    assert "did it" not in outcome


async def test_no_secret_is_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OBJECTCUT_SECRET", "hunter2")
    pool = DecodePool(LIMITS, workers=1, entry=ENTRY)
    await pool.start()
    names = await Victim(pool).says("environment")
    await pool.close()
    assert "PATH" in names
    assert "OBJECTCUT" not in names
    assert "GOOGLE" not in names


async def test_its_socket_and_its_memory_are_all_that_is_open(victim: Victim) -> None:
    """None of its siblings' or its parent's."""
    files = ast.literal_eval(await victim.says("files"))
    kinds = [name.partition(":")[0] for name in files if name not in ("", "/dev/null")]
    assert kinds == ["/memfd", "socket"]


async def test_neither_torch_nor_the_web_framework_is_loaded(victim: Victim) -> None:
    modules = await victim.says("modules")
    assert "'cv2'" in modules
    assert not {"'torch'", "'fastapi'", "'httpx'", "'pydantic'", "'uvicorn'"} & set(
        modules.strip("[]").split(", ")
    )


async def test_the_main_module_of_the_service_is_not_run_again(victim: Victim) -> None:
    assert await victim.says("main") == "None"


async def test_its_limits_hold(victim: Victim) -> None:
    limits = dict(pair.split("=") for pair in (await victim.says("limits")).split())
    assert limits["core"] == "0"
    assert int(limits["files"]) <= 64
    assert 0 < int(limits["memory"]) < 2_000_000_000
    assert 0 < int(limits["cpu"]) < 60


async def test_the_cpu_limit_is_each_files_own(victim: Victim) -> None:
    """Many files that each cost less than the second allowed cost more than that together."""
    pids = {await victim.says("work 0.3") for _ in range(10)}
    assert len(pids) <= 2
