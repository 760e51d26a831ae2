"""The hybrid loss against the values of the authors' public implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.training.losses import deeply_supervised, hybrid_loss, soft_iou_loss, ssim

DATA = Path(__file__).parents[2] / "data" / "hybrid_loss.npz"


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    with np.load(DATA) as stored:
        return torch.from_numpy(stored["logits"]).double(), torch.from_numpy(stored["target"]).double()


def test_reference_values(pair: tuple[Tensor, Tensor]) -> None:
    logits, target = pair
    probability = logits.sigmoid()
    assert 1 - ssim(probability, target).item() == pytest.approx(0.9689818080514669, abs=1e-6)
    assert soft_iou_loss(probability, target).item() == pytest.approx(0.6648451089859009, abs=1e-6)
    assert F.binary_cross_entropy(probability, target).item() == pytest.approx(0.8100712895393372, abs=1e-6)
    assert hybrid_loss(logits, target).item() == pytest.approx(2.443898206576705, abs=1e-6)


@pytest.mark.parametrize(
    ("guess", "least", "most"),
    [
        pytest.param(30.0, 0.0, 1e-3, id="right and certain: nothing to learn"),
        pytest.param(0.0, 0.5, 3.0, id="undecided"),
        pytest.param(-30.0, 3.0, 100.0, id="wrong and certain"),
    ],
)
def test_loss_orders_guesses(guess: float, least: float, most: float) -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 8:24] = 1
    loss = hybrid_loss(guess * (2 * target - 1), target).item()
    assert least <= loss <= most


def test_coarse_outputs_are_supervised_at_the_least_scale(pair: tuple[Tensor, Tensor]) -> None:
    target = torch.zeros(2, 1, 64, 64)
    target[..., 16:48, 16:48] = 1
    fine, coarse = torch.randn(2, 1, 64, 64), torch.randn(2, 1, 2, 2)
    enlarged = F.interpolate(coarse, size=(16, 16), mode="bilinear", align_corners=False)
    expected = hybrid_loss(fine, target) + hybrid_loss(enlarged, F.avg_pool2d(target, 4))
    torch.testing.assert_close(deeply_supervised([fine, coarse], target, least_scale=4), expected)


def test_gradients_reach_every_output() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., :16] = 1
    outputs = [torch.zeros(1, 1, side, side, requires_grad=True) for side in (32, 16, 4)]
    deeply_supervised(outputs, target, least_scale=4).backward()  # type: ignore[no-untyped-call]
    for output in outputs:
        assert output.grad is not None
        assert output.grad.abs().sum() > 0
