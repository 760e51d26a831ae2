"""Training pictures, made on the device: crops of real pairs, and cutouts composited on scenes.

Everything is a batched tensor operation driven by one seeded generator per step, so a run continues after a
kill exactly as it would have gone on, on a CPU as on a GPU.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from model.training.packs import Pack
from model.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Library:
    """The packs in memory, on the training device."""

    pairs: tuple[Pack, ...]
    foregrounds: tuple[Pack, ...]
    backgrounds: tuple[Pack, ...]


class Scenes:
    """Draws batches: pictures (B, 3, side, side) float in [0, 1] and mattes (B, 1, side, side) in [0, 1]."""

    def __init__(self, library: Library, recipe: Recipe, device: torch.device) -> None:
        self.library, self.recipe, self.device = library, recipe, device

    def batch(self, step: int, side: int) -> tuple[Tensor, Tensor]:
        """The batch of this step: the same for the same recipe, whatever came before."""
        generator = torch.Generator(self.device).manual_seed(self.recipe.seed * 1_000_003 + step)
        draw = Draw(generator, self.device)
        composited = round(self.recipe.batch * self.recipe.composites)
        real = self._crops(draw, self.recipe.batch - composited, side)
        made = self._composites(draw, composited, side)
        pictures, mattes = (torch.cat(parts) for parts in zip(real, made, strict=True))
        return photographed(draw, pictures), mattes

    def _crops(self, draw: "Draw", count: int, side: int) -> tuple[Tensor, Tensor]:
        pairs = draw.pictures(self.library.pairs, self.recipe.pairs, count)
        views = sample(pairs, inside(draw, count, least=0.55), side, padding="reflection")
        return views[:, :3], views[:, 3:]

    def _composites(self, draw: "Draw", count: int, side: int) -> tuple[Tensor, Tensor]:
        scenes = draw.pictures(self.library.backgrounds, self.recipe.backgrounds, count)
        scenes = sample(scenes, inside(draw, count, least=0.35), side, padding="reflection")
        scenes = _blurred(draw, scenes, share=0.3)  # as behind a subject in focus
        mattes = scenes.new_zeros(count, 1, side, side)
        # One subject always, a second one in a third of the scenes.
        for chance in (1.0, 0.33):
            cutouts = self._cutouts(draw, count, side)
            cutouts = cutouts * (draw.uniform(count, 0, 1) < chance).view(-1, 1, 1, 1)
            scenes = _shadowed(draw, scenes, cutouts[:, 3:])
            scenes = cutouts[:, :3] + scenes * (1 - cutouts[:, 3:])
            mattes = cutouts[:, 3:] + mattes * (1 - cutouts[:, 3:])
        return scenes, mattes

    def _cutouts(self, draw: "Draw", count: int, side: int) -> Tensor:
        """Premultiplied RGBA of subjects, placed, (count, 4, side, side)."""
        own = draw.pictures(self.library.pairs, self.recipe.pairs, count)
        rendered = draw.pictures(self.library.foregrounds, self.recipe.foregrounds, count)
        from_pairs = (draw.uniform(count, 0, 1) < self.recipe.pair_cutouts).view(-1, 1, 1, 1)
        cutouts = torch.where(from_pairs, own, rendered)
        cutouts = _lit(draw, cutouts)
        cutouts = torch.cat([cutouts[:, :3] * cutouts[:, 3:], cutouts[:, 3:]], dim=1)
        return sample(cutouts, placed(draw, count), side, padding="zeros")


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


def _factors(draw: Draw, count: int, spread: float, channels: int = 1) -> Tensor:
    """(count, channels, 1, 1) log-uniform around 1."""
    values = draw.uniform(count * channels, -spread, spread)
    return torch.exp(values).view(count, channels, 1, 1)


def _lit(draw: Draw, cutouts: Tensor) -> Tensor:
    """The subject's own light: exposure and colour temperature, alpha untouched."""
    count = len(cutouts)
    light = _factors(draw, count, 0.25) * _factors(draw, count, 0.08, channels=3)
    return torch.cat([(cutouts[:, :3] * light).clamp(0, 1), cutouts[:, 3:]], dim=1)


def _gaussian(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Separable Gaussian blur with a sigma (B,), px, of its own for every picture."""
    steps = torch.arange(-7, 8, device=pictures.device)
    lines = torch.exp(-steps.square() / (2 * sigma.clamp(min=0.05).view(-1, 1).square()))
    lines = lines / lines.sum(dim=1, keepdim=True)
    count, channels, height, width = pictures.shape
    kernels = lines.repeat_interleave(channels, dim=0)
    flat = F.pad(pictures.reshape(1, count * channels, height, width), (7, 7, 7, 7), mode="replicate")
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=count * channels)
    flat = F.conv2d(flat, kernels[:, None, :, None], groups=count * channels)
    return flat.view(count, channels, height, width)


def _blurred(draw: Draw, pictures: Tensor, *, share: float) -> Tensor:
    """Blurs that share of the pictures, sigma 0.5 to 3 px."""
    chosen = (draw.uniform(len(pictures), 0, 1) < share).nonzero().flatten()
    sigma = draw.uniform(len(pictures), 0.5, 3.0)
    if len(chosen):
        pictures = pictures.index_copy(0, chosen, _gaussian(pictures[chosen], sigma[chosen]))
    return pictures


def _shadowed(draw: Draw, scenes: Tensor, alpha: Tensor) -> Tensor:
    """A soft shadow of the subject on the scene, in a third of the pictures."""
    count = len(scenes)
    strength = draw.uniform(count, 0.2, 0.6) * (draw.uniform(count, 0, 1) < 0.33)
    shift = draw.uniform(2, -12, 12).long().tolist()
    shadow = F.avg_pool2d(torch.roll(alpha, shifts=shift, dims=(2, 3)), 15, stride=1, padding=7)
    return scenes * (1 - strength.view(-1, 1, 1, 1) * shadow)


def photographed(draw: Draw, pictures: Tensor) -> Tensor:
    """What a camera and its owner do to a picture: light, colour, blur, small sizes, noise. In [0, 1]."""
    count = len(pictures)
    pictures = pictures * _factors(draw, count, 0.3) * _factors(draw, count, 0.1, channels=3)
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * _factors(draw, count, 0.3)
    grey = pictures.mean(dim=1, keepdim=True)
    colour = _factors(draw, count, 0.5) * (draw.uniform(count, 0, 1) > 0.06).view(-1, 1, 1, 1)
    pictures = (grey + (pictures - grey) * colour).clamp(1e-3, 1)
    pictures = pictures ** _factors(draw, count, 0.25)
    pictures = _blurred(draw, pictures, share=0.12)
    noise = (draw.uniform(count, 0, 1) < 0.25) * draw.uniform(count, 0, 0.06)
    return (pictures + noise.view(-1, 1, 1, 1) * draw.normal(*pictures.shape)).clamp(0, 1)
