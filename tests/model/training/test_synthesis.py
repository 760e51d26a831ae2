"""Composites: the matte is what was composited, to the pixel."""

from dataclasses import replace

import torch
from torch import Tensor

from model.training.draws import Draw
from model.training.effects import ambient, occluded, shadowed, side_lit
from model.training.recipe import Synthesis
from model.training.recipes.finetune import RICH
from model.training.synthesis import composed

CPU = torch.device("cpu")
BARE = Synthesis(subjects=(1.0,), defocus=0.0, shadow=0.0)


def draw(seed: int = 0) -> Draw:
    return Draw(torch.Generator().manual_seed(seed), CPU)


def red_discs(count: int) -> Tensor:
    """Straight RGBA, soft at the edge."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 48), torch.linspace(-1, 1, 48), indexing="ij")
    alpha = ((0.8 - (x**2 + y**2).sqrt()) * 8).clamp(0, 1)
    colour = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(3, 48, 48)
    return torch.cat([colour, alpha[None]]).repeat(count, 1, 1, 1)


def blue(count: int) -> Tensor:
    return torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1).expand(count, 3, 64, 64).clone()


def test_the_matte_is_exact() -> None:
    """Nothing but the subject is red, nothing but the scene blue: either colour tells the matte."""
    pictures, mattes = composed(draw(), blue(16), lambda: red_discs(16), BARE)
    torch.testing.assert_close(1 - pictures[:, 2:], mattes)
    light = (pictures[:, :1] / mattes)[mattes > 0.5]
    assert mattes.amax((1, 2, 3)).min() > 0.9
    assert light.min() > 0.6


def test_a_subject_out_of_focus_keeps_its_matte_exact() -> None:
    settings = replace(BARE, soft_subject=1.0)
    pictures, mattes = composed(draw(), blue(8), lambda: red_discs(8), settings)
    torch.testing.assert_close(1 - pictures[:, 2:], mattes)
    sharp = composed(draw(), blue(8), lambda: red_discs(8), BARE)[1]
    steps = [maps.diff(dim=3).abs().amax((1, 2, 3)) for maps in (mattes, sharp)]
    assert (steps[0] <= steps[1] + 1e-6).all()


def test_scenes_without_a_subject_have_an_empty_matte() -> None:
    pictures, mattes = composed(draw(), blue(200), lambda: red_discs(200), replace(BARE, empty=0.5))
    empty = mattes.amax((1, 2, 3)) == 0
    assert 70 < empty.sum() < 130
    torch.testing.assert_close(pictures[empty], blue(int(empty.sum())))


def test_a_shadow_ends_at_the_border() -> None:
    alpha = torch.zeros(64, 1, 64, 64)
    alpha[:, :, 52:] = 1
    shaded = shadowed(draw(), torch.ones(64, 3, 64, 64), alpha, share=1.0)
    assert shaded[:, :, 40:].min() < 0.9
    assert (shaded[:, :, :20] == 1).all()


def test_several_subjects() -> None:
    one = composed(draw(), blue(32), lambda: red_discs(32), BARE)[1].mean()
    three = composed(draw(), blue(32), lambda: red_discs(32), replace(BARE, subjects=(1.0, 1.0, 1.0)))[
        1
    ].mean()
    assert three > 1.5 * one


def test_what_stands_before_the_subject_is_not_part_of_the_matte() -> None:
    pictures, mattes = composed(draw(), blue(32), lambda: red_discs(32), BARE)
    covered, left = occluded(draw(1), pictures, mattes, blue(32), share=1.0)
    torch.testing.assert_close(1 - covered[:, 2:], left)
    hidden = 1 - left.sum((1, 2, 3)) / mattes.sum((1, 2, 3))
    assert hidden.min() >= 0.0
    assert hidden.max() < 0.5
    assert hidden.mean() > 0.05
    untouched = occluded(draw(1), pictures, mattes, blue(32), share=0.0)
    torch.testing.assert_close(untouched, (pictures, mattes))


def test_light_moves_towards_the_scene_and_leaves_alpha() -> None:
    grey = red_discs(4)
    grey[:, :3] = 0.5
    lit = ambient(draw(), grey, blue(4), share=1.0)
    assert (lit[:, 2].amax((1, 2)) > 0.5).all(), "bluer"
    assert (lit[:, 0].amax((1, 2)) < 0.5).all(), "less red"
    one_side = side_lit(draw(), grey, share=1.0)
    assert (one_side[:, :3].amax((1, 2, 3)) > 1.1 * one_side[:, :3].amin((1, 2, 3))).all()
    for changed in (lit, one_side):
        assert torch.equal(changed[:, 3:], grey[:, 3:])


def test_everything_at_once_stays_in_range_and_is_the_same_again() -> None:
    made = [composed(draw(5), blue(8), lambda: red_discs(8), RICH) for _ in range(2)]
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)
    for values in made[0]:
        assert 0 <= values.min() <= values.max() <= 1
