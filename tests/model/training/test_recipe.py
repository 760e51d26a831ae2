"""Recipes: phases, schedules, and that the shipped ones hang together."""

from dataclasses import replace

import pytest

from model.registry import REGISTRY
from model.training.layouts import LAYOUTS
from model.training.recipe import Folders, Packs, Phase, Recipe
from model.training.recipes import RECIPES, recipe_of


def with_phases(recipe: Recipe, *phases: Phase) -> Recipe:
    return replace(recipe, phases=phases)


def test_schedule_warms_up_holds_and_decays(recipe: Recipe) -> None:
    found = [recipe.at(step) for step in range(5)]
    assert [(phase.side, rate) for phase, rate in found] == [
        (32, 0.5),
        (32, 1.0),
        (32, 1.0),
        (64, 1.0),
        (64, 0.5),
    ]
    with pytest.raises(ValueError, match="after the last phase"):
        recipe.at(5)


@pytest.mark.parametrize(
    ("phases", "processes", "steps", "expected"),
    [
        pytest.param((Phase(32, epochs=3),), 1, None, [9], id="a part of a batch is a step"),
        pytest.param((Phase(32, epochs=3), Phase(64, steps=5)), 2, None, [6, 5], id="two processes"),
        pytest.param((Phase(32, steps=300), Phase(64, steps=100)), 1, 40, [30, 10], id="in proportion"),
        pytest.param((Phase(32, steps=400), Phase(64, steps=1)), 1, 3, [2, 1], id="none is left out"),
        pytest.param((Phase(32, steps=1), Phase(64, steps=400)), 1, 3, [1, 2], id="nor the first"),
    ],
)
def test_steps_of_phases(
    recipe: Recipe, phases: tuple[Phase, ...], processes: int, steps: int | None, expected: list[int]
) -> None:
    scheduled = with_phases(recipe, *phases).scheduled(9, processes=processes, steps=steps)
    assert [phase.steps for phase in scheduled.phases] == expected
    assert scheduled.steps == sum(expected)


@pytest.mark.parametrize(
    ("steps", "left"), [pytest.param(None, [1, 4], id="all"), pytest.param(3, [1], id="cut")]
)
def test_a_shortened_run_has_the_snapshots_that_it_comes_to(
    recipe: Recipe, steps: int | None, left: list[int]
) -> None:
    scheduled = replace(recipe, snapshots={1: 0.25, 4: 0.25}).scheduled(9, steps=steps)
    assert list(scheduled.snapshots) == left


def test_fewer_steps_than_phases(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="2 phases"):
        recipe.scheduled(9, steps=1)


@pytest.mark.parametrize(
    ("side", "load_side", "says"),
    [
        pytest.param(48, 64, "multiples of 32 px, not 48", id="phase"),
        pytest.param(32, 40, "multiples of 32 px, not 40", id="loading"),
        pytest.param(96, 64, "loaded at 64 px, a phase wants 96", id="too small"),
    ],
)
def test_sides_that_no_network_takes(side: int, load_side: int, says: str) -> None:
    data = Folders(train=("./train",), validation=(), load_side=load_side)
    with pytest.raises(ValueError, match=says):
        replace(RECIPES["basnet"], data=data, phases=(Phase(side, steps=1),)).scheduled(9)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_shipped_recipes_are_sound(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.network in REGISTRY
    for phase in recipe.phases:
        assert phase.side % 32 == 0
        assert (phase.steps > 0) != (phase.epochs > 0)
    assert bool(recipe.validate_every) == bool(recipe.data.validation) or name.startswith("lite")
    assert sum(recipe.snapshots.values()) < 1
    assert all(step < recipe.steps for step in recipe.snapshots)
    if isinstance(recipe.data, Packs):
        for weights in (recipe.data.pairs, recipe.data.foregrounds, recipe.data.backgrounds):
            assert all(weight >= 0 for weight in weights.values())
            assert sum(weights.values()) > 0
    elif name != "finetune":
        for dataset in (*recipe.data.train, *recipe.data.validation):
            named, _, split = dataset.partition("/")
            assert split in LAYOUTS[named].splits
        assert all(phase.side <= recipe.data.load_side for phase in recipe.phases)


@pytest.mark.parametrize(
    ("name", "phases"),
    [
        pytest.param("birefnet-dis", [(580, "paper"), (20, "region")], id="dis"),
        pytest.param("birefnet-hrsod", [(130, "paper"), (20, "region")], id="hrsod"),
        pytest.param("birefnet-cod", [(130, "paper"), (20, "region")], id="cod"),
    ],
)
def test_birefnet_ends_on_regions(name: str, phases: list[tuple[int, str]]) -> None:
    assert [(phase.epochs, phase.objective) for phase in RECIPES[name].phases] == phases


def test_validation_and_snapshots_cannot_both_make_the_result(recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="not both"):
        replace(recipe, validate_every=2).scheduled(9)


@pytest.mark.parametrize(
    ("start", "side", "objective"),
    [
        pytest.param(None, 320, "paper", id="lite"),
        pytest.param("birefnet-general", 1024, "paper", id="birefnet"),
        pytest.param("birefnet-lite-2k", 2560, "paper", id="no square"),
        pytest.param("birefnet-hr-matting", 2048, "matting", id="mattes"),
    ],
)
def test_fine_tuning_is_of_the_network_that_it_begins_from(
    start: str | None, side: int, objective: str
) -> None:
    recipe = recipe_of("finetune", start)
    assert [phase.objective for phase in recipe.phases] == [objective]
    assert recipe.start == recipe.network == (start or "lite")
    assert isinstance(recipe.data, Folders)
    assert {recipe.data.load_side, *(phase.side for phase in recipe.phases)} == {side}


def test_packs_can_be_left_out_with_the_masks_for_them() -> None:
    lite = RECIPES["lite"].data
    assert isinstance(lite, Packs)
    fewer = lite.without(["unlabelled-imagenet", "backgrounds-shelves"])
    assert set(lite.pairs) - set(fewer.pairs) == {
        "masks-chosen/unlabelled-imagenet",
        "masks-unlabelled/unlabelled-imagenet",
    }
    assert set(lite.backgrounds) - set(fewer.backgrounds) == {"backgrounds-shelves", "unlabelled-imagenet"}
    assert set(fewer.left_out) == set(lite.pairs) - set(fewer.pairs)
    assert fewer.without(["pairs-cats"]).left_out[:2] == fewer.left_out
    assert (fewer.foregrounds, fewer.validation) == (lite.foregrounds, lite.validation)


@pytest.mark.parametrize(
    ("left_out", "says"),
    [
        pytest.param(["pairs-dogs"], "no pack of the recipe is called pairs-dogs", id="unknown"),
        pytest.param(
            ["foregrounds-emoji3d", "foregrounds-people", "foregrounds-grocery"], "too much", id="no cutouts"
        ),
    ],
)
def test_packs_that_cannot_be_left_out(left_out: list[str], says: str) -> None:
    lite = RECIPES["lite"].data
    assert isinstance(lite, Packs)
    with pytest.raises(ValueError, match=says):
        lite.without(left_out)
