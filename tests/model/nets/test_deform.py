from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model.nets.birefnet.deform import DeformableConv2d, deform_conv2d
from tests.model.nets.deform_definition import arguments, definition
from tests.straightforward import deform_conv2d_grid_sample, straightforward


@pytest.mark.parametrize(
    ("batch", "channels", "size", "outputs", "kernel", "padding", "reach"),
    [
        pytest.param(2, 5, (6, 9), 4, 1, 0, 1.0, id="1x1"),
        pytest.param(2, 3, (7, 5), 2, 3, 1, 1.0, id="3x3"),
        pytest.param(1, 4, (9, 8), 3, 7, 3, 1.0, id="7x7"),
        pytest.param(1, 2, (8, 10), 2, 3, 0, 1.0, id="3x3 without padding"),
        pytest.param(2, 2, (9, 7), 2, 7, 1, 1.0, id="7x7 smaller output"),
        pytest.param(1, 2, (6, 6), 2, 3, 1, 8.0, id="mostly outside"),
        pytest.param(1, 2, (5, 7), 2, 3, 1, 0.0, id="whole places, border included"),
        pytest.param(1, 1, (1, 1), 1, 3, 1, 0.7, id="a single pixel"),
        pytest.param(3, 1, (1, 6), 1, 1, 0, 2.0, id="a single line"),
    ],
)
def test_agrees_with_the_definition(
    batch: int,
    channels: int,
    size: tuple[int, int],
    outputs: int,
    kernel: int,
    padding: int,
    reach: float,
) -> None:
    tensors = arguments(batch, channels, size, outputs, kernel, padding, reach)
    result = deform_conv2d(**tensors, padding=padding)
    np.testing.assert_allclose(result.numpy(), definition(tensors, padding), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "kernel"),
    [
        pytest.param((3, 4), 1, id="1x1"),
        pytest.param((4, 3), 3, id="3x3"),
        pytest.param((2, 3), 7, id="7x7"),
    ],
)
def test_gradients_agree_with_finite_differences(size: tuple[int, int], kernel: int) -> None:
    tensors = arguments(2, 2, size, 2, kernel, kernel // 2, reach=1.0)
    leaves = [tensor.requires_grad_() for tensor in tensors.values()]
    assert torch.autograd.gradcheck(partial(deform_conv2d, padding=kernel // 2), leaves)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_is_an_ordinary_convolution_without_offsets(kernel: int) -> None:
    tensors = arguments(2, 3, (8, 9), 4, kernel, kernel // 2, reach=0.0)
    tensors["modulation"].fill_(1)
    expected = F.conv2d(tensors["x"], tensors["weight"], tensors["bias"], padding=kernel // 2)
    torch.testing.assert_close(deform_conv2d(**tensors, padding=kernel // 2), expected)


def test_slabs_do_not_show() -> None:
    # 64 lines of 401 kB of samples: four slabs without autograd, one with it.
    tensors = arguments(2, 16, (32, 64), 3, 7, 3, reach=1.0)
    whole = deform_conv2d(**tensors | {"x": tensors["x"].requires_grad_()}, padding=3)
    with torch.no_grad():
        torch.testing.assert_close(deform_conv2d(**tensors, padding=3), whole.detach())


def test_places_are_exact_in_half_precision() -> None:
    # bfloat16 itself tells no column above 256 from the next.
    x = torch.randn(1, 1, 2, 700).bfloat16()
    zeros, ones = torch.zeros(1, 2, 2, 700).bfloat16(), torch.ones(1, 1, 2, 700).bfloat16()
    result = deform_conv2d(x, zeros, ones, ones[:, :, :1, :1], None, padding=0)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, x)


def test_a_place_that_is_not_a_number_stays_within_its_pixel() -> None:
    tensors = arguments(1, 2, (4, 4), 2, 1, 0, reach=1.0)
    expected = deform_conv2d(**tensors, padding=0)
    tensors["offset"][0, 0, 1, 2] = torch.nan
    tensors["offset"][0, 1, 3, 3] = torch.inf
    result = deform_conv2d(**tensors, padding=0)
    broken = torch.zeros(4, 4, dtype=torch.bool)
    broken[1, 2] = broken[3, 3] = True
    assert result[0, :, broken].isnan().all()
    assert torch.equal(result[0, :, ~broken], expected[0, :, ~broken])


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        pytest.param("offset", (2, 9, 5, 6), id="one offset a tap"),
        pytest.param("offset", (2, 18, 4, 6), id="offsets too low"),
        pytest.param("modulation", (1, 9, 5, 6), id="modulation of another batch"),
        pytest.param("weight", (4, 2, 3, 3), id="weight of other channels"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name: str, shape: tuple[int, ...]) -> None:
    tensors = arguments(2, 3, (5, 6), 4, 3, 1, reach=1.0)
    with pytest.raises(ValueError, match=name):
        deform_conv2d(**tensors | {name: torch.zeros(shape, dtype=torch.float64)}, padding=1)


def test_the_layer_starts_as_an_ordinary_convolution() -> None:
    torch.manual_seed(0)
    layer = DeformableConv2d(3, 5, kernel=3)
    x = torch.randn(2, 3, 6, 7)
    torch.testing.assert_close(layer(x), layer.regular_conv(x))


@pytest.mark.parametrize(
    ("size", "kernel", "padding"),
    [
        pytest.param((6, 9), 1, 0, id="1x1"),
        pytest.param((7, 5), 3, 1, id="3x3"),
        pytest.param((9, 7), 7, 1, id="7x7 smaller output"),
        pytest.param((1, 1), 3, 1, id="a single pixel"),
    ],
)
def test_agrees_with_the_straightforward_way(size: tuple[int, int], kernel: int, padding: int) -> None:
    tensors = arguments(2, 5, size, 4, kernel, padding, reach=2.0)
    expected = deform_conv2d_grid_sample(**tensors, padding=padding)
    result = deform_conv2d(**tensors, padding=padding)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-10)


def test_a_network_agrees_with_its_straightforward_form() -> None:
    torch.manual_seed(0)
    layer = DeformableConv2d(4, 6, kernel=3)
    nn.init.normal_(layer.offset_conv.weight, std=0.5)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), layer).eval()
    plain = straightforward(net)
    assert [type(part) for part in plain.modules()].count(
        DeformableConv2d
    ) == 1  # its parameters, not its work
    x = torch.randn(2, 3, 8, 9)
    with torch.inference_mode():
        result = plain(x.to(memory_format=torch.channels_last))
        assert result.is_contiguous()
        torch.testing.assert_close(result, net(x))
