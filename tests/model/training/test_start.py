"""What networks begin from."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from model.errors import ModelUnavailable
from model.registry import REGISTRY
from model.training.pictures import PackError
from model.training.start import RANDOM, initialised

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def basnet() -> nn.Module:
    return REGISTRY["basnet"].build()


@pytest.fixture(scope="module")
def birefnet() -> nn.Module:
    return REGISTRY["birefnet-lite"].build()


def resnet34(network: nn.Module) -> State:
    """The encoder under torchvision's names, with what BASNet has no use for."""
    own = {
        name.replace("encoder", "layer"): value.clone().contiguous()
        for name, value in network.state_dict().items()
        if name.startswith("encoder")
    }
    return own | {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}


def swin(network: nn.Module) -> State:
    """As its authors publish it: no norms of the four outputs, a norm and a head at the end."""
    own = {
        name.removeprefix("bb."): value.clone().contiguous()
        for name, value in network.state_dict().items()
        if name.startswith("bb.") and not name.startswith("bb.norm")
    }
    return own | {"norm.weight": torch.zeros(768), "head.bias": torch.zeros(1000)}


def test_basnet_from_resnet34(basnet: nn.Module, tmp_path: Path) -> None:
    save_file(resnet34(basnet), tmp_path / "resnet34.safetensors")
    found = initialised(REGISTRY["basnet"], "resnet34", tmp_path, tmp_path).state_dict()
    for name, value in basnet.state_dict().items():
        assert torch.equal(found[name], value) == name.startswith("encoder") or value.unique().numel() < 3, (
            name
        )


def test_birefnet_from_swin_in_a_wrapper(birefnet: nn.Module, tmp_path: Path) -> None:
    torch.save({"model": swin(birefnet)}, tmp_path / "swin.pth")
    spec = REGISTRY["birefnet-lite"]
    found = initialised(spec, str(tmp_path / "swin.pth"), tmp_path, tmp_path).state_dict()
    name = "bb.layers.2.blocks.3.attn.qkv.weight"
    assert torch.equal(found[name], birefnet.state_dict()[name])
    assert not torch.equal(
        found["decoder.conv_out1.0.weight"], birefnet.state_dict()["decoder.conv_out1.0.weight"]
    )


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_a_whole_checkpoint(basnet: nn.Module, tmp_path: Path, prefix: str) -> None:
    whole = {prefix + name: value.contiguous() for name, value in basnet.state_dict().items()}
    save_file(whole, tmp_path / "whole.safetensors")
    found = initialised(REGISTRY["basnet"], "whole", tmp_path, tmp_path)
    assert found.training
    for name, value in found.state_dict().items():
        assert torch.equal(value, basnet.state_dict()[name]), name


def test_the_shipped_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = initialised(REGISTRY["lite"], "lite", tmp_path, tmp_path).state_dict()
    torch.manual_seed(1)
    second = initialised(REGISTRY["lite"], "lite", tmp_path, tmp_path).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_from_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = initialised(REGISTRY["lite"], RANDOM, tmp_path, tmp_path).state_dict()
    torch.manual_seed(0)
    second = initialised(REGISTRY["lite"], RANDOM, tmp_path, tmp_path).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(
            lambda s: s.pop("layer2.0.bn1.weight"), r"encoder2\.0\.bn1\.weight missing", id="missing"
        ),
        pytest.param(
            lambda s: s.update({"layer1.0.conv1.weight": torch.zeros(1)}),
            r"encoder1\.0\.conv1\.weight \(1,\) for \(64, 64, 3, 3\)",
            id="another shape",
        ),
    ],
)
def test_weights_of_another_encoder_are_refused(
    basnet: nn.Module, tmp_path: Path, spoil: Callable[[State], object], says: str
) -> None:
    state = resnet34(basnet)
    spoil(state)
    save_file(state, tmp_path / "resnet34.safetensors")
    with pytest.raises(ModelUnavailable, match=says):
        initialised(REGISTRY["basnet"], "resnet34", tmp_path, tmp_path)


def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"resnet34\.safetensors is not there.*--start random"):
        initialised(REGISTRY["basnet"], "resnet34", tmp_path, tmp_path)
