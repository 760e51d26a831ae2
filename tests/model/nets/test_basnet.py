"""BASNet against figures of the authors' implementation.

tests/data/basnet.keys.json: name, shape and dtype of every entry of the published checkpoint.
tests/data/basnet.golden.npz: every 7th row and 9th column of the eight sigmoid maps that the authors' network
gives for `normal_input(128, 160, 2)` with the parameters of `fill_by_name`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.nets.basnet import BASNet
from tests.model.nets.parity import fill_by_name, normal_input

DATA = Path(__file__).parents[2] / "data"
MAPS = ("dout", "d1", "d2", "d3", "d4", "d5", "d6", "db")


@pytest.fixture(scope="module")
def net() -> BASNet:
    net = BASNet().eval()
    fill_by_name(net)
    return net


def test_parameters_are_those_of_the_published_checkpoint(net: BASNet) -> None:
    keys = json.loads((DATA / "basnet.keys.json").read_bytes())
    ours = {
        name: [list(value.shape), str(value.dtype).removeprefix("torch.")]
        for name, value in net.state_dict().items()
    }
    assert ours == keys


def test_all_maps_agree_with_the_authors_network(net: BASNet) -> None:
    golden = np.load(DATA / "basnet.golden.npz")
    x = normal_input(128, 160, count=2)
    with torch.inference_mode():
        maps = net.maps(x)
        refined = net(x)
    assert torch.equal(refined, maps[0])
    assert len(maps) == len(MAPS)
    for name, logits in zip(MAPS, maps, strict=True):
        assert logits.shape == (2, 1, 128, 160)
        ours = logits.sigmoid().numpy()[:, 0, ::7, ::9]
        np.testing.assert_allclose(ours, golden[name], rtol=0, atol=1e-5, err_msg=name)


def test_eval_mode_spends_nothing_on_side_outputs(net: BASNet) -> None:
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: called.append(name))
        for name, module in net.named_modules()
        if name.startswith("outconv") and isinstance(module, nn.Conv2d)
    ]
    with torch.inference_mode():
        net(normal_input(32, 32, count=1))
    for hook in hooks:
        hook.remove()
    assert len(hooks) == 7
    assert called == ["outconv1"]


def test_training_mode_gives_every_map(net: BASNet) -> None:
    net.train()
    try:
        with torch.no_grad():
            maps = net(normal_input(64, 96, count=1))
    finally:
        net.eval()
        fill_by_name(net)  # the running statistics have moved
    assert [tuple(logits.shape) for logits in maps] == [(1, 1, 64, 96)] * 8
