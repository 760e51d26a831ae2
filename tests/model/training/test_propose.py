"""Proposed masks: the subject's region where network and GrabCut agree, nothing where they do not."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model.preprocess import AlphaNet
from model.registry import REGISTRY
from model.training.packs import read_pairs
from model.training.propose import Agreement, grabcut, propose
from tests.model.training.conftest import PACKS, disc

ENOUGH = Agreement(iou=0.9)


def everything(pack: str, stem: str) -> bool:
    return True


class Likeness(nn.Module):
    """A network that takes for the subject what is far from the colour of the corner."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * (60 * (x - x[..., :1, :1]).abs().mean(1, keepdim=True) - 6)


def net(gain: float = 1.0) -> AlphaNet:
    return AlphaNet(Likeness(gain), REGISTRY["lite"])


def run(
    data: Path, out: Path, gain: float = 1.0, *, wanted: Agreement = ENOUGH, known: Sequence[str] = ()
) -> tuple[int, int]:
    return propose(net(gain), 48, data, ["unlabelled-discs"], out, wanted, known=known)


def test_masks_are_the_subjects_and_can_be_trained_on(data: Path) -> None:
    assert run(data, data / "masks-proposed") == (3, 3)
    for index in range(3):
        mask = cv2.imread(
            str(data / "masks-proposed/unlabelled-discs" / f"u{index}.png"), cv2.IMREAD_GRAYSCALE
        )
        truth = disc(20 + index)[1] > 127
        assert mask is not None
        assert np.mean((mask > 127) == truth) > 0.99
    with (data / "masks-proposed/index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["pack"], row["name"], row["split"]) for row in rows] == [
        ("unlabelled-discs", f"u{index}", "train") for index in range(3)
    ]
    assert all(float(row["agreement"]) >= 0.9 for row in rows)
    pack = read_pairs(data, "masks-proposed/unlabelled-discs", PACKS, everything)
    assert pack.names == ("u0", "u1", "u2")


def test_pictures_that_have_masks_are_passed_over(data: Path) -> None:
    assert run(data, data / "masks-proposed", known=["masks-discs"]) == (0, 0)


@pytest.mark.parametrize(
    ("gain", "wanted"),
    [
        pytest.param(0.01, ENOUGH, id="the network is nowhere sure"),
        pytest.param(1.0, Agreement(iou=1.01), id="they do not agree enough"),
        pytest.param(1.0, Agreement(iou=0.9, foreground=(0.9, 1.0)), id="the subject is too small"),
    ],
)
def test_what_is_not_sure_is_not_kept(data: Path, gain: float, wanted: Agreement) -> None:
    kept, seen = run(data, data / "masks-proposed", gain, wanted=wanted)
    assert (kept, seen) == (0, 3)
    assert not list((data / "masks-proposed").rglob("*.png"))


@pytest.mark.parametrize("alpha", [pytest.param(0.0, id="nothing"), pytest.param(1.0, id="everything")])
def test_grabcut_has_nothing_to_decide(alpha: float) -> None:
    picture = disc(1)[0]
    assert np.all(grabcut(picture, np.full((48, 48), alpha, np.float32)) == alpha)
