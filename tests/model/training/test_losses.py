"""The terms of the losses against the values of the authors' public implementations."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.training.losses import (
    contour_loss,
    hybrid_loss,
    soft_iou_loss,
    ssim,
    structure_loss,
)

DATA = Path(__file__).parents[2] / "data"
REFERENCE = json.loads((DATA / "losses.json").read_text())
BASNET, BIREFNET = REFERENCE["basnet"], REFERENCE["birefnet_terms_last_scale"]


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor]:
    """Logits and target, (2, 1, 96, 128)."""
    with np.load(DATA / "losses.npz") as stored:
        return torch.from_numpy(stored["logits_3"]).double(), torch.from_numpy(stored["gt"]).double()


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        pytest.param(F.binary_cross_entropy_with_logits, BASNET["bce"], id="bce"),
        pytest.param(lambda x, y: 1 - ssim(x.sigmoid(), y), BASNET["ssim_loss"], id="ssim"),
        pytest.param(lambda x, y: soft_iou_loss(x.sigmoid(), y), BASNET["iou_loss"], id="iou"),
        pytest.param(hybrid_loss, BASNET["hybrid"], id="hybrid"),
        pytest.param(structure_loss, BIREFNET["structure"], id="structure"),
        pytest.param(lambda x, y: contour_loss(x.sigmoid(), y), BIREFNET["contour"], id="contour"),
    ],
)
def test_reference_values(
    pair: tuple[Tensor, Tensor], loss: Callable[[Tensor, Tensor], Tensor], reference: float
) -> None:
    assert loss(*pair).item() == pytest.approx(reference, abs=1e-6)


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
