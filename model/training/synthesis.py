"""Scenes made of cutouts and backgrounds: the matte is exact, because we put the subject there."""

from collections.abc import Callable

import torch
from torch import Tensor

from model.training.draws import Draw, placed, sample
from model.training.effects import (
    ambient,
    blurred,
    compressed,
    lit,
    occluded,
    shadowed,
    side_lit,
)
from model.training.recipe import Synthesis

__all__ = ["composed"]


def composed(
    draw: Draw, scenes: Tensor, subjects: Callable[[], Tensor], settings: Synthesis
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, S, S) and mattes (B, 1, S, S) of subjects before scenes (B, 3, S, S), float in [0, 1].

    subjects: draws cutouts (B, 4, s, s), straight RGBA, for each layer anew. What is optional draws no random
    number where its share is 0, so that a new effect leaves the batches of older recipes as they were.
    """
    count, _, side, _ = scenes.shape
    behind = scenes = blurred(draw, scenes, share=settings.defocus)
    mattes = scenes.new_zeros(count, 1, side, side)
    peopled = scenes.new_ones(count, dtype=torch.bool)
    if settings.empty:
        peopled = draw.uniform(count, 0, 1) >= settings.empty
    for chance in settings.subjects:
        cutouts = _placed(draw, subjects(), behind, settings)
        present = (draw.uniform(count, 0, 1) < chance) & peopled
        cutouts = cutouts * present.view(-1, 1, 1, 1)
        scenes = shadowed(draw, scenes, cutouts[:, 3:], share=settings.shadow)
        scenes = cutouts[:, :3] + scenes * (1 - cutouts[:, 3:])
        mattes = cutouts[:, 3:] + mattes * (1 - cutouts[:, 3:])
    if settings.occlusion:
        scenes, mattes = occluded(draw, scenes, mattes, behind, share=settings.occlusion)
    if settings.jpeg:
        scenes = compressed(draw, scenes, share=settings.jpeg)
    return scenes, mattes


def _placed(draw: Draw, cutouts: Tensor, scenes: Tensor, settings: Synthesis) -> Tensor:
    """Lit, and put somewhere: premultiplied RGBA (B, 4, S, S)."""
    cutouts = lit(draw, cutouts)
    if settings.ambience:
        cutouts = ambient(draw, cutouts, scenes, share=settings.ambience)
    if settings.side_light:
        cutouts = side_lit(draw, cutouts, share=settings.side_light)
    premultiplied = torch.cat([cutouts[:, :3] * cutouts[:, 3:], cutouts[:, 3:]], dim=1)
    layer = sample(premultiplied, placed(draw, len(cutouts)), scenes.shape[-1], padding="zeros")
    if settings.soft_subject:
        # Premultiplied, so that the matte is blurred exactly as its colours are.
        layer = blurred(draw, layer, share=settings.soft_subject)
    return layer
