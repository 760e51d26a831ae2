import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.nets.birefnet.deform import DeformableConv2d, deform_conv2d


def _arguments(
    batch: int, channels: int, size: tuple[int, int], outputs: int, kernel: int, padding: int, reach: float
) -> dict[str, Tensor]:
    """Random float64 arguments; offsets are normal with a deviation of `reach` px."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    taps, grown = kernel * kernel, 2 * padding - kernel + 1
    out = (size[0] + grown, size[1] + grown)
    return {
        "x": normal(batch, channels, *size),
        "offset": normal(batch, 2 * taps, *out) * reach,
        "modulation": normal(batch, taps, *out).sigmoid() * 2,
        "weight": normal(outputs, channels, kernel, kernel),
        "bias": normal(outputs),
    }


def _pixel(x: np.ndarray, y: int, column: int) -> np.ndarray:
    """The channels at one place of (C, H, W), zero outside."""
    inside = 0 <= y < x.shape[1] and 0 <= column < x.shape[2]
    return np.asarray(x[:, y, column]) if inside else np.zeros(len(x))


def _sample(x: np.ndarray, y: float, column: float) -> np.ndarray:
    top, left = math.floor(y), math.floor(column)
    total = np.zeros(len(x))
    for dy, dx in itertools.product((0, 1), repeat=2):
        share = (1 - abs(y - top - dy)) * (1 - abs(column - left - dx))
        total += share * _pixel(x, top + dy, left + dx)
    return total


def _reference(arguments: dict[str, Tensor], padding: int) -> np.ndarray:
    """Equation 1 of Deformable ConvNets v2, one tap at a time."""
    x, offset, modulation, weight, bias = (tensor.numpy() for tensor in arguments.values())
    kernel = weight.shape[-1]
    result = np.empty((len(x), len(weight), *offset.shape[2:]))
    for n, y, column in np.ndindex(len(x), *offset.shape[2:]):
        total = bias.copy()
        for tap, (i, j) in enumerate(np.ndindex(kernel, kernel)):
            at_y = y - padding + i + offset[n, 2 * tap, y, column]
            at_x = column - padding + j + offset[n, 2 * tap + 1, y, column]
            total += weight[:, :, i, j] @ _sample(x[n], at_y, at_x) * modulation[n, tap, y, column]
        result[n, :, y, column] = total
    return result


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
    arguments = _arguments(batch, channels, size, outputs, kernel, padding, reach)
    result = deform_conv2d(**arguments, padding=padding)
    np.testing.assert_allclose(result.numpy(), _reference(arguments, padding), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "kernel"),
    [
        pytest.param((3, 4), 1, id="1x1"),
        pytest.param((4, 3), 3, id="3x3"),
        pytest.param((2, 3), 7, id="7x7"),
    ],
)
def test_gradients_agree_with_finite_differences(size: tuple[int, int], kernel: int) -> None:
    arguments = _arguments(2, 2, size, 2, kernel, kernel // 2, reach=1.0)
    tensors = [tensor.requires_grad_() for tensor in arguments.values()]
    assert torch.autograd.gradcheck(partial(deform_conv2d, padding=kernel // 2), tensors)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_is_an_ordinary_convolution_without_offsets(kernel: int) -> None:
    arguments = _arguments(2, 3, (8, 9), 4, kernel, kernel // 2, reach=0.0)
    arguments["modulation"].fill_(1)
    expected = F.conv2d(arguments["x"], arguments["weight"], arguments["bias"], padding=kernel // 2)
    torch.testing.assert_close(deform_conv2d(**arguments, padding=kernel // 2), expected)


def test_slabs_do_not_show() -> None:
    # 64 lines of 401 kB of samples: four slabs without autograd, one with it.
    arguments = _arguments(2, 16, (32, 64), 3, 7, 3, reach=1.0)
    whole = deform_conv2d(**arguments | {"x": arguments["x"].requires_grad_()}, padding=3)
    with torch.no_grad():
        torch.testing.assert_close(deform_conv2d(**arguments, padding=3), whole.detach())


def test_places_are_exact_in_half_precision() -> None:
    # bfloat16 itself tells no column above 256 from the next.
    x = torch.randn(1, 1, 2, 700).bfloat16()
    zeros, ones = torch.zeros(1, 2, 2, 700).bfloat16(), torch.ones(1, 1, 2, 700).bfloat16()
    result = deform_conv2d(x, zeros, ones, ones[:, :, :1, :1], None, padding=0)
    assert result.dtype == torch.bfloat16
    assert torch.equal(result, x)


def test_a_place_that_is_not_a_number_stays_within_its_pixel() -> None:
    arguments = _arguments(1, 2, (4, 4), 2, 1, 0, reach=1.0)
    expected = deform_conv2d(**arguments, padding=0)
    arguments["offset"][0, 0, 1, 2] = torch.nan
    arguments["offset"][0, 1, 3, 3] = torch.inf
    result = deform_conv2d(**arguments, padding=0)
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
    arguments = _arguments(2, 3, (5, 6), 4, 3, 1, reach=1.0)
    with pytest.raises(ValueError, match=name):
        deform_conv2d(**arguments | {name: torch.zeros(shape, dtype=torch.float64)}, padding=1)


def test_the_layer_starts_as_an_ordinary_convolution() -> None:
    torch.manual_seed(0)
    layer = DeformableConv2d(3, 5, kernel=3)
    x = torch.randn(2, 3, 6, 7)
    torch.testing.assert_close(layer(x), layer.regular_conv(x))
