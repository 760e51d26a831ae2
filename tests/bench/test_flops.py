from dataclasses import replace

import pytest
import torch
from torch import nn

from model.nets.birefnet.deform import DeformableConv2d
from model.registry import REGISTRY, ModelSpec
from tests.bench import flops


def specification(net: nn.Module) -> ModelSpec:
    return replace(REGISTRY["lite"], build=lambda: net, size=(10, 20))


@pytest.mark.parametrize(
    ("net", "operations"),
    [
        pytest.param(nn.Conv2d(3, 8, 3, padding=1), 2 * 200 * 8 * 3 * 9, id="convolution"),
        pytest.param(nn.Conv2d(3, 8, 3, stride=2, padding=1), 2 * 50 * 8 * 3 * 9, id="with stride"),
        # Offsets and modulation are convolutions to 18 and 9 channels; then each sample is multiplied once.
        pytest.param(
            nn.Sequential(DeformableConv2d(3, 8, kernel=3)),
            2 * 200 * (27 + 8) * 3 * 9,
            id="deformable convolution",
        ),
    ],
)
def test_operations_of_layers_are_known(net: nn.Module, operations: int) -> None:
    assert flops.count(specification(net)) == operations


@pytest.mark.parametrize(
    ("network", "giga"),
    [
        pytest.param("basnet", 397, id="basnet"),
        pytest.param("birefnet-lite", 642, id="birefnet, attention and deformable convolutions included"),
    ],
)
def test_operations_of_networks(network: str, giga: int) -> None:
    """BASNet: 198.4 G multiplications with addition. BiRefNet: 316.9 G, and those of its attention."""
    assert round(flops.count(REGISTRY[network]) / 1e9) == giga


def test_the_peak_is_a_speed() -> None:
    assert flops.matmul_peak(torch.device("cpu"), "float32", cores=1) > 1e8
