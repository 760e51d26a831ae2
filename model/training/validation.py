"""How good the network is so far, on pictures that it does not learn from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from model.preprocess import AlphaNet, resize
from model.registry import ModelSpec
from model.training.batches import shaped
from model.training.pictures import Pixels

__all__ = ["Judgement", "judged"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """iou: of soft mattes, the sum of the least over that of the greater; mae: mean absolute error. Means."""

    iou: float
    mae: float


def judged(
    network: nn.Module, spec: ModelSpec, pictures: Sequence[Pixels], device: torch.device, *, batch: int
) -> Judgement:
    """The network in eval mode on squares (S, S, 4), RGB and matte, squeezed to its shape. Raises ValueError
    for none."""
    if not pictures:
        raise ValueError("there are no pictures to validate with")
    net = AlphaNet(network, spec).to(device).eval()
    size = shaped(spec, len(pictures[0]))
    ious, errors = [], []
    with torch.inference_mode():
        for first in range(0, len(pictures), batch):
            squares = pictures[first : first + batch]
            if size != squares[0].shape[:2]:
                squares = [resize(each, size) for each in squares]
            pixels = torch.from_numpy(np.stack(squares)).to(device)
            alpha, truth = net(pixels[..., :3]).float(), pixels[..., 3].float() / 255
            union = torch.maximum(alpha, truth).sum((1, 2))
            both = torch.minimum(alpha, truth).sum((1, 2))
            # Where next to nothing is there and next to nothing was found, all is well.
            ious += torch.where(union < 1, 1.0, both / union.clamp(min=1e-6)).tolist()
            errors += (alpha - truth).abs().mean((1, 2)).tolist()
    return Judgement(float(np.mean(ious)), float(np.mean(errors)))
