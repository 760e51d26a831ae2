"""The Triton kernel, in a process of its own. Needs no GPU: Triton's interpreter runs it on the CPU."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model.nets.triton_cases import CASES, ON_GPU

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("triton") is None,
        reason="Triton is not installed: `pip install triton` into .venv, with or without a GPU",
    ),
    pytest.mark.timeout(600),
]

TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Of results, which are rounded to this precision once, and samples, once more."""

SHARED_MEMORY = 227 * 1024
"""Bytes that one program may take on compute capability 9.0."""


def _run(what: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.model.nets.triton_cases", what],
        cwd=Path(__file__).parents[3],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def errors() -> dict[str, dict[str, float]]:
    """By case and tiling."""
    return _run("run", **({} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1"}))


@pytest.mark.parametrize("name", [*CASES, *(ON_GPU if torch.cuda.is_available() else ())])
def test_agrees_with_the_definition(name: str, errors: dict[str, dict[str, float]]) -> None:
    tolerance = TOLERANCE[(CASES | ON_GPU)[name].dtype]
    assert errors[name]
    assert {tiling: error for tiling, error in errors[name].items() if not error <= tolerance} == {}


def test_compiles_for_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    taken = _run("compile", TRITON_CACHE_DIR=str(tmp_path))
    halves = {tiling: size for tiling, size in taken.items() if not tiling.startswith("float32")}
    assert len(taken) == 12
    assert {tiling: size for tiling, size in halves.items() if size > SHARED_MEMORY} == {}


def test_nothing_imports_triton_on_a_cpu() -> None:
    script = """
import sys, torch
from model.nets.birefnet.deform import DeformableConv2d
with torch.inference_mode():
    DeformableConv2d(2, 3, 1)(torch.zeros(1, 2, 4, 4))
sys.exit("triton" in sys.modules or "model.nets.birefnet.deform_triton" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True)
