"""What every record of the registry promises."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model import files, weights
from model.registry import REGISTRY, ModelSpec

SPECS = [pytest.param(spec, id=name) for name, spec in REGISTRY.items()]
DIFFERENT = {(spec.build, spec.size): spec for spec in reversed(list(REGISTRY.values()))}
NETWORKS = [pytest.param(spec, id=spec.name) for spec in DIFFERENT.values()]
SHIPPED = [pytest.param(spec, id=spec.name) for spec in REGISTRY.values() if spec.weights.shipped]


def test_keys_are_names() -> None:
    assert all(spec.name == key for key, spec in REGISTRY.items())


@pytest.mark.parametrize("spec", SPECS)
def test_records_are_complete(spec: ModelSpec) -> None:
    assert all(side % 32 == 0 for side in spec.size)
    assert all(0 < value < 1 for value in (*spec.mean, *spec.std))
    assert spec.licence in {"MIT", "Apache-2.0", "BSD-3-Clause"}
    assert spec.paper
    assert spec.description
    assert spec.weights.source
    assert Path(spec.weights.file).name == spec.weights.file
    assert (spec.weights.sha256 is None) == (spec.weights.size is None)
    way = "pull" if spec.weights.repo else "import"
    assert f"objectcut models {way} {spec.name}" in spec.bring


@pytest.mark.parametrize("spec", SPECS)
def test_ranges_of_sides_are_such(spec: ModelSpec) -> None:
    assert (spec.sides is not None) == (spec.name == "birefnet-dynamic")
    assert spec.input_size(None) == spec.size
    if spec.sides:
        smallest, largest = spec.sides
        assert all(smallest <= side <= largest for side in spec.size)
        assert smallest % 32 == largest % 32 == 0


@pytest.mark.parametrize("resolution", [256, 1024, 2048, 2304])
def test_a_resolution_is_the_side_of_a_square(resolution: int) -> None:
    assert REGISTRY["birefnet-dynamic"].input_size(resolution) == (resolution, resolution)


@pytest.mark.parametrize(
    ("name", "resolution", "told"),
    [
        pytest.param("birefnet-dynamic", 224, "multiples of 32 from 256 to 2304 px", id="too small"),
        pytest.param("birefnet-dynamic", 2336, "multiples of 32 from 256 to 2304 px", id="too large"),
        pytest.param("birefnet-dynamic", 1000, "multiples of 32 from 256 to 2304 px", id="no multiple"),
        pytest.param("lite", 320, "'lite' runs at 320 x 320 px only", id="no choice"),
        pytest.param("birefnet-lite-2k", 1024, "runs at 2560 x 1440 px only", id="no choice, no square"),
    ],
)
def test_a_resolution_that_a_model_does_not_take(name: str, resolution: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        REGISTRY[name].input_size(resolution)


@pytest.mark.parametrize("spec", NETWORKS)
def test_networks_build_and_answer_in_shape(spec: ModelSpec) -> None:
    with torch.device("meta"):
        net = spec.build().eval().to("meta")  # constants, too
        logits = net(torch.empty(1, 3, *spec.size))
    assert logits.shape == (1, 1, *spec.size)


@pytest.mark.parametrize("spec", SHIPPED)
def test_shipped_weights_are_there_small_and_pinned(spec: ModelSpec) -> None:
    checkpoint = weights.load(spec, Path("unused"))
    assert spec.weights.sha256 == checkpoint.sha256
    assert (files.SHIPPED / spec.weights.file).stat().st_size == spec.weights.size
    assert (files.SHIPPED / spec.weights.file).stat().st_size <= 16_000_000
    assert checkpoint.golden is not None
    assert checkpoint.golden.max() - checkpoint.golden.min() > 0.5, "the self-test could not fail"


def test_reading_the_registry_does_not_wait_for_torch() -> None:
    code = "import sys, model.registry, model.config; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
