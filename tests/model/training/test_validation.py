"""Judging mattes."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.registry import REGISTRY
from model.training.validation import judged


class Red(nn.Module):
    """Finds what is red."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1000.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x[:, :1] - x[:, 1:2])


def square(red: slice, truth: slice) -> np.ndarray:
    pixels = np.full((8, 8, 4), 90, np.uint8)
    pixels[..., 3] = 0
    pixels[red, :, :3] = (250, 10, 90)
    pixels[truth, :, 3] = 255
    pixels[~np.isin(np.arange(8), np.arange(8)[red]), :, 1] = 250
    return pixels


RIGHT = square(slice(0, 4), slice(0, 4))


@pytest.mark.parametrize(
    ("pictures", "iou", "mae"),
    [
        pytest.param([RIGHT], 1.0, 0.0, id="right"),
        pytest.param([square(slice(0, 4), slice(2, 6))], 1 / 3, 0.5, id="half right"),
        pytest.param([square(slice(0, 0), slice(0, 0))], 1.0, 0.0, id="nothing to find"),
        pytest.param(
            [square(slice(0, 4), slice(0, 4))] * 2 + [square(slice(0, 4), slice(4, 8))],
            2 / 3,
            1 / 3,
            id="mean",
        ),
    ],
)
def test_judgement(pictures: list[np.ndarray], iou: float, mae: float) -> None:
    found = judged(Red(), REGISTRY["lite"], pictures, torch.device("cpu"), batch=2)
    assert (found.iou, found.mae) == pytest.approx((iou, mae), abs=1e-6)


def test_no_pictures() -> None:
    with pytest.raises(ValueError, match="no pictures to validate with"):
        judged(Red(), REGISTRY["lite"], [], torch.device("cpu"), batch=2)
