"""The papers' objectives against the values of the authors' public implementations."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model.nets.birefnet.birefnet import BiRefNetOutput
from model.training.losses import hybrid_loss
from model.training.objectives import (
    OBJECTIVES,
    PAPER,
    TERMS,
    ObjectiveName,
    class_loss,
    deeply_supervised,
    gradient_loss,
    weighted,
)

DATA = Path(__file__).parents[2] / "data"
REFERENCE = json.loads((DATA / "losses.json").read_text())


@pytest.fixture(scope="module")
def scales() -> tuple[list[Tensor], Tensor]:
    """Logits at 1/8, 1/4, 1/2 and full scale; the target, (2, 1, 96, 128)."""
    with np.load(DATA / "losses.npz") as stored:
        logits = [torch.from_numpy(stored[f"logits_{scale}"]).double() for scale in range(4)]
        return logits, torch.from_numpy(stored["gt"]).double()


def birefnet_output(side: int = 32) -> BiRefNetOutput:
    torch.manual_seed(0)
    maps = tuple(torch.randn(2, 1, side // k, side // k, requires_grad=True) for k in (8, 4, 2))
    gradients = tuple(torch.randn(2, 1, side // k, side // k, requires_grad=True) for k in (8, 4, 2))
    targets = tuple(torch.rand(2, 1, side, side) for _ in maps)
    final = torch.randn(2, 1, side, side, requires_grad=True)
    return BiRefNetOutput(final, maps, gradients, targets, torch.zeros(2, 4, 1, 1))


def half(side: int = 32) -> Tensor:
    target = torch.zeros(2, 1, side, side)
    target[..., : side // 2] = 1
    return target


def test_birefnet_over_four_scales(scales: tuple[list[Tensor], Tensor]) -> None:
    terms = weighted(*scales, PAPER)
    reference = REFERENCE["birefnet_DIS5K"]
    assert sum(terms.values()) == pytest.approx(reference["total"], rel=1e-6)
    for term, value in terms.items():
        assert value.item() / 4 == pytest.approx(reference[term], rel=1e-6), term


@pytest.mark.parametrize("term", ["iou", "ssim", "structure", "contour", "mae"])
def test_terms_as_the_authors_scale_them(scales: tuple[list[Tensor], Tensor], term: str) -> None:
    value = TERMS[term](scales[0][-1], scales[1]).item()  # type: ignore[index]
    assert value == pytest.approx(REFERENCE["birefnet_terms_last_scale"][term], abs=1e-6)


def test_basnet_sums_the_hybrid_loss_of_eight_outputs(scales: tuple[list[Tensor], Tensor]) -> None:
    logits, target = scales
    total = OBJECTIVES["paper"]([logits[-1]] * 8, target)
    assert total.item() == pytest.approx(8 * REFERENCE["basnet"]["hybrid"], abs=1e-5)


def test_coarse_outputs_are_supervised_at_the_least_scale() -> None:
    target = torch.zeros(2, 1, 64, 64)
    target[..., 16:48, 16:48] = 1
    fine, coarse = torch.randn(2, 1, 64, 64), torch.randn(2, 1, 2, 2)
    enlarged = F.interpolate(coarse, size=(16, 16), mode="bilinear", align_corners=False)
    expected = hybrid_loss(fine, target) + hybrid_loss(enlarged, F.avg_pool2d(target, 4))
    torch.testing.assert_close(deeply_supervised([fine, coarse], target, least_scale=4), expected)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_reach_every_output(name: ObjectiveName) -> None:
    outputs = [torch.zeros(2, 1, side, side, requires_grad=True) for side in (32, 16, 4)]
    OBJECTIVES[name](outputs, half()).backward()  # type: ignore[no-untyped-call]
    output = birefnet_output()
    OBJECTIVES[name](output, half()).backward()  # type: ignore[no-untyped-call]
    for tensor in (*outputs, output.final, *output.sides, *output.gradients):
        assert tensor.grad is not None
        assert tensor.grad.abs().sum() > 0


def test_the_outward_reference_is_least_where_gradients_are_right() -> None:
    output = birefnet_output()
    right = BiRefNetOutput(
        output.final, output.sides, output.gradient_targets, output.gradient_targets, output.deepest
    )
    assert gradient_loss(right) < gradient_loss(output)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        pytest.param([1, 2], 5 * np.log(3), id="all known"),
        pytest.param([1, -1], 5 * np.log(3), id="one known"),
        pytest.param([-1, -1], 0.0, id="none known"),
    ],
)
def test_class_loss(classes: list[int], expected: float) -> None:
    scores = torch.zeros(2, 3, requires_grad=True)
    loss = class_loss(scores, torch.tensor(classes))
    assert loss.item() == pytest.approx(expected)
    loss.backward()  # type: ignore[no-untyped-call]
    assert scores.grad is not None
