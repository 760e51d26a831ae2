"""What light, lenses, cameras and their owners do to pictures, as batched tensor operations.

Pictures are (B, C, H, W) float in [0, 1], on any device. Every effect draws from the batch's generator. Sizes
in px are those at a side of 320 px or less; larger pictures have them in proportion.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from model.training.draws import Draw
from model.training.jpeg import jpeg

__all__ = [
    "ambient",
    "blurred",
    "compressed",
    "factors",
    "lit",
    "occluded",
    "photographed",
    "shadowed",
    "side_lit",
]


def factors(draw: Draw, count: int, spread: float, channels: int = 1) -> Tensor:
    """(count, channels, 1, 1) log-uniform around 1."""
    values = draw.uniform(count * channels, -spread, spread)
    return torch.exp(values).view(count, channels, 1, 1)


def lit(draw: Draw, cutouts: Tensor) -> Tensor:
    """The subject's own light: exposure and colour temperature, alpha untouched."""
    count = len(cutouts)
    light = factors(draw, count, 0.25) * factors(draw, count, 0.08, channels=3)
    return torch.cat([(cutouts[:, :3] * light).clamp(0, 1), cutouts[:, 3:]], dim=1)


def _enlargement(pictures: Tensor) -> float:
    return max(1.0, pictures.shape[-1] / 320)


def gaussian(pictures: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Separable Gaussian blur, sigma (B,), px, of its own for every picture. reach: of the kernel, px."""
    steps = torch.arange(-reach, reach + 1, device=pictures.device)
    lines = torch.exp(-steps.square() / (2 * sigma.clamp(min=0.05).view(-1, 1).square()))
    lines = lines / lines.sum(dim=1, keepdim=True)
    count, channels, height, width = pictures.shape
    kernels = lines.repeat_interleave(channels, dim=0)
    flat = F.pad(pictures.reshape(1, count * channels, height, width), (reach,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=count * channels)
    flat = F.conv2d(flat, kernels[:, None, :, None], groups=count * channels)
    return flat.view(count, channels, height, width)


def blurred(draw: Draw, pictures: Tensor, *, share: float) -> Tensor:
    """Blurs that share of the pictures, sigma 0.5 to 3 px."""
    larger = _enlargement(pictures)
    chosen = (draw.uniform(len(pictures), 0, 1) < share).nonzero().flatten()
    sigma = draw.uniform(len(pictures), 0.5, 3.0) * larger
    if len(chosen):
        soft = gaussian(pictures[chosen], sigma[chosen], reach=round(7 * larger))
        pictures = pictures.index_copy(0, chosen, soft)
    return pictures


def shadowed(draw: Draw, scenes: Tensor, alpha: Tensor, *, share: float) -> Tensor:
    """A soft shadow of the subject on the scene, in that share of the pictures."""
    count, larger = len(scenes), _enlargement(scenes)
    strength = draw.uniform(count, 0.2, 0.6) * (draw.uniform(count, 0, 1) < share)
    down, right = (draw.uniform(2, -12, 12) * larger).long().tolist()
    shifted = F.pad(alpha, (right, -right, down, -down))
    reach = round(7 * larger)
    shadow = F.avg_pool2d(shifted, 2 * reach + 1, stride=1, padding=reach)
    return scenes * (1 - strength.view(-1, 1, 1, 1) * shadow)


def photographed(draw: Draw, pictures: Tensor) -> Tensor:
    """What a camera and its owner do to a picture: light, colour, blur, small sizes, noise. In [0, 1]."""
    count = len(pictures)
    pictures = pictures * factors(draw, count, 0.3) * factors(draw, count, 0.1, channels=3)
    mean = pictures.mean(dim=(1, 2, 3), keepdim=True)
    pictures = mean + (pictures - mean) * factors(draw, count, 0.3)
    grey = pictures.mean(dim=1, keepdim=True)
    colour = factors(draw, count, 0.5) * (draw.uniform(count, 0, 1) > 0.06).view(-1, 1, 1, 1)
    pictures = (grey + (pictures - grey) * colour).clamp(1e-3, 1)
    pictures = pictures ** factors(draw, count, 0.25)
    pictures = blurred(draw, pictures, share=0.12)
    noise = (draw.uniform(count, 0, 1) < 0.25) * draw.uniform(count, 0, 0.06)
    return (pictures + noise.view(-1, 1, 1, 1) * draw.normal(*pictures.shape)).clamp(0, 1)


def _chosen(draw: Draw, count: int, share: float) -> Tensor:
    """(count, 1, 1, 1) bool: that share of the pictures."""
    return (draw.uniform(count, 0, 1) < share).view(-1, 1, 1, 1)


def ambient(draw: Draw, cutouts: Tensor, scenes: Tensor, *, share: float) -> Tensor:
    """The subject takes over some of the scene's mean light and colour; RGBA, alpha kept."""
    alpha = cutouts[:, 3:]
    own = (cutouts[:, :3] * alpha).sum((2, 3), keepdim=True) / alpha.sum((2, 3), keepdim=True).clamp(min=1)
    ratio = (scenes.mean((2, 3), keepdim=True) + 0.05) / (own + 0.05)
    strength = draw.uniform(len(cutouts), 0.2, 0.7).view(-1, 1, 1, 1) * _chosen(draw, len(cutouts), share)
    rgb = cutouts[:, :3] * ratio.clamp(0.4, 2.5) ** strength
    return torch.cat([rgb.clamp(0, 1), alpha], dim=1)


def side_lit(draw: Draw, cutouts: Tensor, *, share: float) -> Tensor:
    """Light from one side: up to twice as bright there as on the other; RGBA, alpha kept."""
    count, _, height, width = cutouts.shape
    angle = draw.uniform(count, -math.pi, math.pi).view(-1, 1, 1)
    y = torch.linspace(-1, 1, height, device=cutouts.device).view(1, -1, 1)
    x = torch.linspace(-1, 1, width, device=cutouts.device).view(1, 1, -1)
    across = (x * angle.cos() + y * angle.sin()).unsqueeze(1)
    strength = draw.uniform(count, 0.1, 0.35).view(-1, 1, 1, 1) * _chosen(draw, count, share)
    return torch.cat([(cutouts[:, :3] * torch.exp(strength * across)).clamp(0, 1), cutouts[:, 3:]], dim=1)


def occluded(
    draw: Draw, pictures: Tensor, mattes: Tensor, scenes: Tensor, *, share: float
) -> tuple[Tensor, Tensor]:
    """A part of the scene, mirrored, stands before the subject, up to a third of which it hides."""
    count, _, height, width = mattes.shape
    angle = draw.uniform(count, -math.pi, math.pi).view(-1, 1, 1, 1)
    y = torch.linspace(-1, 1, height, device=mattes.device).view(1, 1, -1, 1)
    x = torch.linspace(-1, 1, width, device=mattes.device).view(1, 1, 1, -1)
    across = x * angle.cos() + y * angle.sin()
    weight = mattes.sum((2, 3), keepdim=True).clamp(min=1e-3)
    centre = (across * mattes).sum((2, 3), keepdim=True) / weight
    spread = ((across - centre).square() * mattes).sum((2, 3), keepdim=True).div(weight).sqrt()
    # Of an even spread, the part beyond 0.6 to 1.5 deviations from the middle is a third to a fifteenth.
    edge = centre + spread * draw.uniform(count, 0.6, 1.5).view(-1, 1, 1, 1)
    sharpness = draw.uniform(count, 20, 80).view(-1, 1, 1, 1)
    hidden = torch.sigmoid(sharpness * (across - edge)) * _chosen(draw, count, share)
    return pictures * (1 - hidden) + scenes.flip(3) * hidden, mattes * (1 - hidden)


def compressed(draw: Draw, pictures: Tensor, *, share: float) -> Tensor:
    """JPEG of quality 25 to 90, for that share of the pictures."""
    chosen = (draw.uniform(len(pictures), 0, 1) < share).nonzero().flatten()
    quality = draw.uniform(len(pictures), 25, 90)
    if len(chosen):
        pictures = pictures.index_copy(0, chosen, jpeg(pictures[chosen], quality[chosen]))
    return pictures
