"""Which engine a configuration asks for, and that it is there."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from model import runtimes, weights
from model.config import EngineConfig
from model.engine import TorchEngine
from model.errors import InferenceFailed
from model.loaded import LoadedModel
from model.openvino import OpenVinoEngine
from tests.model.toy import Undecided, toy_spec


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
    loaded = runtimes.load(spec, config)
    assert type(loaded) is engine
    assert loaded.facts()["runtime"] == runtime


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"device": "cpu"}, "openvino", id="on a CPU"),
        pytest.param({"device": "cuda"}, "torch", id="on a GPU"),
        pytest.param({"device": "cpu", "runtime": "torch"}, "torch", id="as it is told"),
    ],
)
def test_what_a_model_is_run_by(changes: dict[str, str], expected: str) -> None:
    assert runtimes.chosen(toy_spec(), EngineConfig.model_validate(changes)) == expected


def test_a_network_of_many_sizes_stays_with_torch() -> None:
    spec = replace(toy_spec(), sides=(32, 128))
    assert runtimes.chosen(spec, EngineConfig(device="cpu")) == "torch"
    assert runtimes.chosen(spec, EngineConfig(device="cpu", runtime="openvino")) == "openvino"


def test_without_openvino_it_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert runtimes.chosen(toy_spec(), EngineConfig(device="cpu")) == "torch"


def test_torch_where_openvino_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec = toy_spec(Undecided)
    weights.store(spec, spec.build().state_dict(), tmp_path)
    config = EngineConfig(model_dir=tmp_path, device="cpu")
    assert runtimes.load(spec, config).facts()["runtime"] == "torch"
    assert "torch instead of OpenVINO: model 'toy' gives no right result in float32" in caplog.text


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(RuntimeError("no such operation"), id="it does not know the network"),
        pytest.param(ImportError("libtbb.so.12: cannot open"), id="its library does not load"),
        pytest.param(InferenceFailed("broadcast"), id="it fails at the first picture"),
    ],
)
def test_torch_where_openvino_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def breaks(*_: object) -> None:
        raise fault

    monkeypatch.setattr("model.openvino.OpenVinoEngine.__init__", breaks)
    weights.store(toy_spec(), toy_spec().build().state_dict(), tmp_path)
    assert (
        runtimes.load(toy_spec(), EngineConfig(model_dir=tmp_path, device="cpu")).facts()["runtime"]
        == "torch"
    )
    with pytest.raises(type(fault)):
        runtimes.load(toy_spec(), EngineConfig(model_dir=tmp_path, device="cpu", runtime="openvino"))


def test_the_default_serves_without_torch_in_its_process(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from model import runtimes
from model.config import EngineConfig
from model.registry import REGISTRY
config = EngineConfig(device="cpu", model_dir=Path(sys.argv[1]), cores=1)
runtimes.check(config)
engine = runtimes.load(REGISTRY["lite"], config)
picture = engine.prepare(__import__("numpy").zeros((50, 70, 3), "uint8"))
print(engine.run([picture])[0].shape, engine.facts()["runtime"], "torch" in sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert ran.stdout.strip() == "(320, 320) openvino False", ran.stderr


def test_a_runtime_that_is_not_installed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ValueError, match=r"pip install 'objectcut\[openvino\]'"):
        runtimes.check(EngineConfig(runtime="openvino"))
    runtimes.check(EngineConfig(runtime="torch"))
    runtimes.check(EngineConfig())


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_openvino_is_for_cpus(device: str) -> None:
    with pytest.raises(ValidationError, match=f"not for the device '{device}'"):
        EngineConfig(runtime="openvino", device=device)


def test_torch_does_without_openvino() -> None:
    code = "import sys, model.engine, model.runtimes; sys.exit('openvino' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
