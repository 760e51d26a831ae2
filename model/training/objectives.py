"""What training minimises: the terms of model/training/losses.py over all outputs of a network.

An objective takes what a network puts out in training mode and the mattes (B,1,H,W) in [0,1].
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor

from model.nets.birefnet.birefnet import BiRefNetOutput
from model.nets.birefnet.decoder import resize_like
from model.training.losses import (
    contour_loss,
    hybrid_loss,
    soft_iou_loss,
    ssim,
    structure_loss,
)

Outputs: TypeAlias = list[Tensor] | BiRefNetOutput
Term: TypeAlias = Literal["bce", "iou", "ssim", "mae", "structure", "contour"]
Weights: TypeAlias = Mapping[Term, float]
ObjectiveName: TypeAlias = Literal["paper", "matting", "region", "structure", "contour"]

LEAST_SCALE = 4
"""Outputs of `deeply_supervised` are compared at 1/LEAST_SCALE of the matte's side at least."""

PAPER: Weights = {"bce": 30.0, "iou": 0.5, "ssim": 10.0}
"""BiRefNet's lambda_1 to lambda_3, section 3.5."""
MATTING: Weights = {"bce": 30.0, "mae": 30.0, "ssim": 10.0}
"""For soft mattes, whose intersection and union say little: the mean absolute error instead."""
REGION: Weights = {"iou": 0.5}
"""Region-level fine-tuning, section 3.6."""
STRUCTURE: Weights = {"structure": 1.0}
CONTOUR: Weights = {"bce": 1.0, "contour": 1.0}
CLASS_WEIGHT = 5.0
"""BiRefNet's lambda_4."""

TERMS: Mapping[Term, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": F.binary_cross_entropy_with_logits,
    # The sum over the batch, as the authors have it; the other terms are means.
    "iou": lambda logits, target: len(target) * soft_iou_loss(logits.sigmoid(), target),
    # Half of 1 - SSIM, which lies in [0, 2].
    "ssim": lambda logits, target: (1 - ssim(logits.sigmoid(), target)) / 2,
    "mae": lambda logits, target: (logits.sigmoid() - target).abs().mean(),
    "structure": structure_loss,
    "contour": lambda logits, target: contour_loss(logits.sigmoid(), target),
}
"""Terms as BiRefNet's authors scale them. Each takes logits and target, (B,1,H,W)."""


def deeply_supervised(outputs: Sequence[Tensor], target: Tensor, *, least_scale: int) -> Tensor:
    """The sum of the hybrid loss over all side outputs (BASNet's equation 2, with every weight 1).

    An output coarser than 1/least_scale of the target is enlarged to that scale, and the target is
    area-averaged to the output's size: a stride-32 map is not asked for pixels that it cannot draw, and
    SSIM's 11 px window keeps a meaning. BASNet's eight outputs have the target's size already.
    """
    side = target.shape[-1] // least_scale
    total = target.new_zeros(())
    for logits in outputs:
        if logits.shape[-1] < side:
            logits = F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
        size = (logits.shape[-2], logits.shape[-1])
        total = total + hybrid_loss(logits, F.adaptive_avg_pool2d(target, size))
    return total


def weighted(outputs: Sequence[Tensor], target: Tensor, weights: Weights) -> dict[Term, Tensor]:
    """Each term times its weight, summed over the outputs, which are enlarged to the target's size."""
    enlarged = [resize_like(logits, target) for logits in outputs]
    return {
        term: weight * sum((TERMS[term](logits, target) for logits in enlarged), target.new_zeros(()))
        for term, weight in weights.items()
    }


def gradient_loss(output: BiRefNetOutput) -> Tensor:
    """The outward reference's supervision: BCE of predicted gradients against the picture's, over the stages.

    Both go through a sigmoid, so that an even surface, gradient 0, is a target of one half (section 3.4).
    """
    pairs = zip(output.gradients, output.gradient_targets, strict=True)
    losses = [
        F.binary_cross_entropy_with_logits(resize_like(gradient, target), target.sigmoid())
        for gradient, target in pairs
    ]
    return sum(losses, output.final.new_zeros(()))


def class_loss(scores: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy times CLASS_WEIGHT. scores: (B, N). classes: (B,) int64, -1 where none is known."""
    known = classes >= 0
    if not bool(known.any()):
        return 0 * scores.sum()  # of no picture, but part of the graph: data parallelism waits for it
    return CLASS_WEIGHT * F.cross_entropy(scores[known], classes[known])


def _supervised(outputs: Outputs, mattes: Tensor, *, weights: Weights) -> Tensor:
    if not isinstance(outputs, BiRefNetOutput):
        return sum(weighted(outputs, mattes, weights).values(), mattes.new_zeros(()))
    maps = (*outputs.sides, outputs.final)
    return sum(weighted(maps, mattes, weights).values(), gradient_loss(outputs))


def _paper(outputs: Outputs, mattes: Tensor) -> Tensor:
    if isinstance(outputs, BiRefNetOutput):
        return _supervised(outputs, mattes, weights=PAPER)
    return deeply_supervised(outputs, mattes, least_scale=LEAST_SCALE)


OBJECTIVES: Mapping[ObjectiveName, Callable[[Outputs, Tensor], Tensor]] = {
    "paper": _paper,
    "matting": partial(_supervised, weights=MATTING),
    "region": partial(_supervised, weights=REGION),
    "structure": partial(_supervised, weights=STRUCTURE),
    "contour": partial(_supervised, weights=CONTOUR),
}
"""`paper`: that of the network's own paper."""
