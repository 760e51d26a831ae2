"""A large network behind the service's own engine: imported, started, and one picture through it."""

import resource
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import bfloat16

from api.engine import EngineConfig, LocalEngine
from api.types import Deadline
from model import weights
from model.device import half_precisions
from model.registry import REGISTRY
from tests.model.nets.parity import fill_by_name

SPEC = REGISTRY["birefnet-lite"]


@pytest.mark.slow
async def test_birefnet_lite_serves_on_one_core(tmp_path: Path) -> None:
    """With weights that follow from their names; a half of the bytes, as newer checkpoints are published."""
    net = SPEC.build().eval()
    fill_by_name(net)
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()
    }
    safetensors.torch.save_file(state, tmp_path / "published.safetensors")
    weights.import_weights(tmp_path / "published.safetensors", SPEC, tmp_path / "models")
    del net, state

    before = peak_bytes()
    start = time.process_time()
    config = {"models": (SPEC.name,), "model_dir": tmp_path / "models", "device": "cpu", "cores": 1}
    engine = LocalEngine(EngineConfig.model_validate(config))
    await engine.start()
    assert time.process_time() - start < 60, "seconds of CPU for a start"
    facts = engine.status()["models"][SPEC.name]
    assert facts["warm"], facts
    if bfloat16 in half_precisions(torch.device("cpu")):
        assert facts["precision"] == "bfloat16"
    rgb = np.random.default_rng(0).integers(0, 256, (700, 1200, 3), dtype=np.uint8)
    alpha = await engine.matte(rgb, model=SPEC.name, deadline=Deadline.after(600))
    await engine.close()
    assert alpha.shape == (1024, 1024)
    assert 0 <= alpha.min() < alpha.max() <= 1
    assert peak_bytes() - before < 1.5e9


def peak_bytes() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
