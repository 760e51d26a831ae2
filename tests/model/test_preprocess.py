"""What the network is fed with, against the plain way of computing it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from model.preprocess import AlphaNet, resize
from model.registry import REGISTRY
from model.training.learner import Learner
from tests.model.toy import SIDE, Toy, pictures, toy_spec


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        pytest.param(480, 640, id="landscape"),
        pytest.param(641, 97, id="tall and odd"),
        pytest.param(20, 30, id="enlarged"),
        pytest.param(64, 96, id="of the very size"),
        pytest.param(1, 500, id="one row"),
        pytest.param(1, 1, id="one pixel"),
    ],
)
def test_resize_is_antialiased_bilinear(height: int, width: int) -> None:
    rgb = noise(height, width)
    ours = resize(rgb, (64, 96))
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    exact = F.interpolate(x, size=(64, 96), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    assert ours.shape == (64, 96, 3)
    assert ours.dtype == np.uint8
    assert ours.flags.c_contiguous
    assert np.abs(ours - exact).max() <= 1.5


def test_resize_takes_views_and_read_only_pictures() -> None:
    rgb = noise(200, 300)
    expected = resize(np.ascontiguousarray(rgb[10:150, ::2]), (64, 64))
    rgb.flags.writeable = False
    assert np.array_equal(resize(rgb[10:150, ::2], (64, 64)), expected)


def test_alpha_net_normalises_and_ends_in_a_sigmoid() -> None:
    spec, net = toy_spec(), Toy().eval()
    batch = pictures(2)
    with torch.inference_mode():
        alphas = AlphaNet(net, spec)(torch.from_numpy(batch))
        x = (batch.astype(np.float32) / 255 - spec.mean) / spec.std
        logits = net(torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2))
    assert alphas.shape == (2, SIDE, SIDE)
    assert alphas.dtype == torch.float32
    torch.testing.assert_close(alphas, logits[:, 0].sigmoid(), rtol=0, atol=1e-5)


def test_a_network_that_wants_each_picture_as_bright_as_it_goes() -> None:
    spec, net = replace(toy_spec(), own_white=True), Toy().eval()
    batch = np.stack([*pictures(2), pictures(1)[0] // 4, np.zeros_like(pictures(1)[0])])
    with torch.inference_mode():
        alphas = AlphaNet(net, spec)(torch.from_numpy(batch))
        greatest = np.maximum(batch.reshape(4, -1).max(1), 1).reshape(4, 1, 1, 1)
        x = (batch.astype(np.float32) / greatest - spec.mean) / spec.std
        logits = net(torch.from_numpy(x.astype(np.float32)).permute(0, 3, 1, 2))
        learner = Learner(net, spec)
        trained = learner.normalised(torch.from_numpy(batch).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(alphas, logits[:, 0].sigmoid(), rtol=0, atol=1e-5)
    torch.testing.assert_close(trained.numpy(), x.astype(np.float32).transpose(0, 3, 1, 2), atol=1e-5, rtol=0)
    assert [spec.name for spec in REGISTRY.values() if spec.own_white] == ["basnet"]


def test_alpha_net_does_not_stretch_a_flat_answer() -> None:
    net = Toy()
    with torch.no_grad():
        net.leave.weight.zero_()
        net.get_parameter("leave.bias").fill_(-2)
    alphas = AlphaNet(net, toy_spec())(torch.from_numpy(pictures(1)))
    torch.testing.assert_close(alphas, torch.full_like(alphas, 0.1192), rtol=0, atol=1e-4)
