"""Which engine a configuration asks for, and that it is there."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from model import runtimes, weights
from model.config import EngineConfig
from model.engine import TorchEngine
from model.loaded import LoadedModel
from model.openvino import OpenVinoEngine
from tests.model.toy import toy_spec


@pytest.mark.parametrize(
    ("runtime", "engine"),
    [pytest.param("torch", TorchEngine, id="torch"), pytest.param("openvino", OpenVinoEngine, id="openvino")],
)
def test_the_configured_runtime_is_used(
    tmp_path: Path, runtime: Literal["torch", "openvino"], engine: type[LoadedModel]
) -> None:
    spec = toy_spec()
    weights.store(spec, spec.build().state_dict(), tmp_path)
    config = EngineConfig(model_dir=tmp_path, device="cpu", runtime=runtime)
    runtimes.check(config)
    assert type(runtimes.load(spec, config)) is engine


def test_torch_is_the_default() -> None:
    assert EngineConfig().runtime == "torch"


def test_a_runtime_that_is_not_installed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r"pip install 'objectcut\[openvino\]'"):
        runtimes.check(EngineConfig(runtime="openvino"))
    runtimes.check(EngineConfig(runtime="torch"))


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_openvino_is_for_cpus(device: str) -> None:
    with pytest.raises(ValidationError, match=f"not for the device '{device}'"):
        EngineConfig(runtime="openvino", device=device)


def test_torch_does_without_openvino() -> None:
    code = "import sys, model.engine, model.runtimes; sys.exit('openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
