"""The network as training sees it."""

import pytest
import torch

from model.nets.birefnet import BiRefNet
from model.registry import REGISTRY
from model.training.learner import Learner, finest, optimizer_of
from model.training.objectives import OBJECTIVES, class_loss

BIREFNET = REGISTRY["birefnet-dis"]


def test_birefnet_with_a_head_of_classes_learns_in_every_parameter() -> None:
    torch.manual_seed(0)
    learner = Learner(BiRefNet("pvt_v2_b0"), BIREFNET, classes=219).train()
    outputs, scores = learner(torch.rand(2, 3, 64, 64))
    assert finest(outputs).shape == (2, 1, 64, 64)
    assert scores is not None
    assert scores.shape == (2, 219)
    loss = OBJECTIVES["region"](outputs, torch.ones(2, 1, 64, 64)) + class_loss(scores, torch.tensor([3, -1]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert [name for name, p in learner.named_parameters() if p.grad is None] == []


def test_others_have_no_such_head() -> None:
    with pytest.raises(ValueError, match="lite has no head of classes"):
        Learner(REGISTRY["lite"].build(), REGISTRY["lite"], classes=2)


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [pytest.param("adam", torch.optim.Adam, id="adam"), pytest.param("adamw", torch.optim.AdamW, id="adamw")],
)
def test_every_parameter_has_a_rate(kind: str, optimizer: type[torch.optim.Optimizer]) -> None:
    learner = Learner(BiRefNet("pvt_v2_b0"), BIREFNET, classes=2)
    made = optimizer_of(learner, ("bb.",), kind, (1e-5, 1e-4), 0.0)
    assert type(made) is optimizer
    rest, encoder = made.param_groups
    assert (rest["peak"], encoder["peak"]) == (1e-4, 1e-5)
    assert {id(p) for p in encoder["params"]} == {
        id(p) for p in learner.network.get_submodule("bb").parameters()
    }
    assert len(rest["params"]) + len(encoder["params"]) == len(list(learner.parameters()))
