"""Random numbers, pictures and places, all from one seeded generator."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from model.training.packs import Pack

__all__ = ["Draw", "inside", "placed", "sample"]


class Draw:
    """Random numbers and pictures from one generator."""

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self.generator, self.device = generator, device

    def uniform(self, count: int, low: float, high: float) -> Tensor:
        """(count,) float in [low, high)."""
        return low + (high - low) * torch.rand(count, generator=self.generator, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal of that shape."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def pictures(self, packs: tuple[Pack, ...], weights: Mapping[str, float], count: int) -> Tensor:
        """(count, C, S, S) float in [0, 1]: packs by their weights, evenly within a pack."""
        shares = torch.tensor([weights[pack.name] for pack in packs], device=self.device)
        chosen = torch.multinomial(shares, count, replacement=True, generator=self.generator)
        position = self.uniform(count, 0, 1)
        picked = []
        for which, where in zip(chosen.tolist(), position.tolist(), strict=True):
            pictures = packs[which].pictures
            picked.append(pictures[min(int(where * len(pictures)), len(pictures) - 1)])
        return torch.stack(picked).float() / 255


def _linear(scale_x: Tensor, scale_y: Tensor, angle: Tensor, flip: Tensor) -> Tensor:
    """(B, 2, 2) linear maps from output to input: mirror, scale, then turn by `angle` radians."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    row_x = torch.stack([cos * scale_x * flip, -sin * scale_y], dim=1)
    row_y = torch.stack([sin * scale_x * flip, cos * scale_y], dim=1)
    return torch.stack([row_x, row_y], dim=1)


def inside(draw: Draw, count: int, *, least: float) -> Tensor:
    """Crops: windows of `least`..1 of the side, slightly rotated and stretched, mirrored half of the time."""
    whole = draw.uniform(count, 0, 1) < 0.25
    size = torch.where(whole, 1.0, draw.uniform(count, least, 1))
    stretch = torch.exp(draw.uniform(count, -0.2, 0.2))
    scale_x, scale_y = (size * stretch).clamp(max=1), (size / stretch).clamp(max=1)
    x = draw.uniform(count, -1, 1) * (1 - scale_x)
    y = draw.uniform(count, -1, 1) * (1 - scale_y)
    angle = draw.uniform(count, -1, 1) * math.radians(12) * (draw.uniform(count, 0, 1) < 0.4)
    flip = torch.where(draw.uniform(count, 0, 1) < 0.5, -1.0, 1.0)
    return torch.cat([_linear(scale_x, scale_y, angle, flip), torch.stack([x, y], 1).unsqueeze(2)], dim=2)


def placed(draw: Draw, count: int) -> Tensor:
    """Where a subject goes: 0.3 to 1.25 of the picture's side, anywhere that keeps most of it in sight."""
    size = torch.exp(draw.uniform(count, math.log(0.3), math.log(1.25)))
    stretch = torch.exp(draw.uniform(count, -0.25, 0.25))
    reach = (1.15 - size).clamp(min=0.15)
    x, y = draw.uniform(count, -1, 1) * reach, draw.uniform(count, -1, 1) * reach
    angle = draw.normal(count) * math.radians(12)
    flip = torch.where(draw.uniform(count, 0, 1) < 0.5, -1.0, 1.0)
    linear = _linear(stretch / size, 1 / (stretch * size), angle, flip)
    return torch.cat([linear, -linear @ torch.stack([x, y], 1).unsqueeze(2)], dim=2)


def sample(pictures: Tensor, maps: Tensor, side: int, *, padding: str) -> Tensor:
    """(B, C, S, S) through affine maps (B, 2, 3) to (B, C, side, side), bilinear."""
    grid = F.affine_grid(maps, [len(pictures), pictures.shape[1], side, side], align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode=padding, align_corners=False)
