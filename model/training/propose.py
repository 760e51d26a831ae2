"""Masks for pictures that have none, proposed by a network and by GrabCut, kept where both agree.

GrabCut (Rother et al., 2004), which sees colours alone, begins with the network's alpha, the mean of both
mirror images. Where two so different judges end at the same region it is nearly always the subject, and
GrabCut's edge lies where the picture has one. What is kept is a mask pack (model/training/packs.py) to train
the next network on: pseudo-labels (Lee, 2013), which a student sees distorted (Xie et al., 2020).
"""

import csv
from collections.abc import Container, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import islice
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from model.errors import ModelUnavailable
from model.preprocess import AlphaNet
from model.registry import REGISTRY
from model.second_look import uncertainty
from model.training.packs import Archive
from model.training.pictures import Pixels, square
from model.training.run import working_precision
from model.training.start import initialised

__all__ = ["Agreement", "Proposal", "propose", "teacher"]

_SURE = 0.05
"""An alpha nearer than this to 0 or 1 binds GrabCut."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a proposal must have to be kept.

    iou: at least, between the network's region (alpha over one half) and GrabCut's. uncertain: at most, the
    area where alpha is between 0.1 and 0.9, as a share of that region. foreground: the least and the largest
    share of the picture that the subject may have.
    """

    iou: float
    uncertain: float = 0.4
    foreground: tuple[float, float] = (0.02, 0.9)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A row of index.csv; its fields are Agreement's, measured."""

    name: str
    pack: str
    agreement: float
    uncertain: float
    foreground: float
    split: str = "train"

    def meets(self, wanted: Agreement) -> bool:
        """Whether it is to be kept."""
        low, high = wanted.foreground
        return (
            self.agreement >= wanted.iou
            and self.uncertain <= wanted.uncertain
            and low <= self.foreground <= high
        )


def teacher(
    model: str, weights: Path | None, data: Path, model_dir: Path, device: torch.device
) -> tuple[AlphaNet, int]:
    """The network that proposes, and the side of the squares that it sees, px.

    weights: others than the model's own. Raises ModelUnavailable, also for a model that sees no squares.
    """
    spec = REGISTRY.get(model)
    if spec is None or spec.size[0] != spec.size[1]:
        raise ModelUnavailable(f"'{model}' is no square model of `objectcut models`")
    network = initialised(spec, str(weights or model), data, model_dir)
    precision = working_precision("auto", device) or torch.float32
    return AlphaNet(network.to(precision), spec).to(device), spec.size[0]


def propose(
    net: AlphaNet,
    side: int,
    data: Path,
    packs: Sequence[str],
    out: Path,
    wanted: Agreement,
    *,
    known: Sequence[str] = (),
) -> tuple[int, int]:
    """Writes out/PACK/NAME.png, binary, for every picture of `packs` whose mask is to be kept, and index.csv.

    net sees squares of `side` px. known: mask packs whose pictures are passed over. Returns how many masks
    were kept, and of how many. Raises PackError.
    """
    seen, kept = 0, list[Proposal]()
    masks = [PurePosixPath(file) for name in known for file in Archive(data, name).files]
    for pack in packs:
        (out / pack).mkdir(parents=True, exist_ok=True)
        passed = {mask.stem for mask in masks if mask.parent.name == pack}
        for name, picture, alpha in _alphas(net, side, data, pack, passed):
            seen += 1
            mask = grabcut(picture, alpha)
            proposal = _measured(name, pack, alpha, mask)
            if proposal.meets(wanted):
                kept.append(proposal)
                cv2.imwrite(
                    str(out / pack / f"{name}.png"), mask * np.uint8(255), [cv2.IMWRITE_PNG_BILEVEL, 1]
                )
    with (out / "index.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in fields(Proposal))
        rows.writerows(astuple(proposal) for proposal in kept)
    return len(kept), seen


def _alphas(
    net: AlphaNet, side: int, data: Path, pack: str, passed: Container[str]
) -> Iterator[tuple[str, Pixels, NDArray[np.float32]]]:
    """(stem, picture (H, W, 3) uint8 BGR, alpha (H, W) in [0, 1], the mean of both mirror images')."""
    archive = Archive(data, pack)
    files = iter(sorted(f for f in archive.by_stem("images").items() if f[0] not in passed))
    while batch := list(islice(files, 8)):
        pictures = [archive.decode(file, cv2.IMREAD_COLOR) for _, file in batch]
        squares = torch.from_numpy(np.stack([square(p, side)[..., ::-1] for p in pictures])).to(
            net.scale.device
        )
        with torch.inference_mode():
            alphas = ((net(squares) + net(squares.flip(2)).flip(2)) / 2).cpu().numpy()
        for (stem, _), picture, alpha in zip(batch, pictures, alphas, strict=True):
            height, width = picture.shape[:2]
            fitted = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
            yield stem, picture, np.asarray(fitted, np.float32)


def grabcut(picture: Pixels, alpha: NDArray[np.float32], rounds: int = 3) -> Pixels:
    """(H, W) uint8 of 0 and 1: GrabCut's region of a BGR picture; alpha in [0, 1] binds it where sure."""
    labels = np.where(alpha > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[alpha < _SURE] = cv2.GC_BGD
    labels[alpha > 1 - _SURE] = cv2.GC_FGD
    if len(np.unique(labels % 2)) == 2:  # of subject, which has the odd labels, and ground there is some
        cv2.setRNGSeed(1)  # of the clustering of colours
        colours = np.zeros((1, 65)), np.zeros((1, 65))
        anywhere = (0, 0, 0, 0)  # not looked at: the labels say where to begin
        cv2.grabCut(picture, labels, anywhere, *colours, rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray(labels % 2, np.uint8)


def _measured(name: str, pack: str, alpha: NDArray[np.float32], mask: Pixels) -> Proposal:
    region, other = alpha > 0.5, mask > 0
    union = int(np.count_nonzero(region | other))
    return Proposal(
        name,
        pack,
        agreement=round(int(np.count_nonzero(region & other)) / max(1, union), 3),
        uncertain=round(uncertainty(alpha), 3),
        foreground=round(float(other.mean()), 3),
    )
