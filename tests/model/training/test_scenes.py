import dataclasses
import math
from pathlib import Path

import pytest
import torch

from model.training.draws import Draw, inside, placed, sample
from model.training.scenes import Scenes, read_library
from tests.model.training.conftest import PACKS, disc, png, write_pack

CPU = torch.device("cpu")


@pytest.fixture
def scenes(data: Path) -> Scenes:
    return Scenes(data, PACKS, CPU, size=4, seed=1)


def draw(seed: int = 0) -> Draw:
    return Draw(torch.Generator().manual_seed(seed), CPU)


def test_validation_pictures_are_never_trained_on(data: Path) -> None:
    library = read_library(data, PACKS, CPU)
    names = {name for pack in library.pairs for name in pack.names}
    assert {"p0", "u0"} <= names
    assert not {"p5", "u2"} & names


def test_a_scene_with_a_mask_is_a_pair_and_no_background(data: Path) -> None:
    write_pack(data, "masks-chosen", {"backgrounds-plain/s0.png": png(disc(90)[1])}, zipped=False)
    packs = dataclasses.replace(PACKS, pairs={"masks-chosen/backgrounds-plain": 1.0, **PACKS.pairs})
    library = read_library(data, packs, CPU)
    assert library.pairs[0].names == ("s0",)
    assert [pack.names for pack in library.backgrounds] == [("s1",)]


def test_a_scene_whose_mask_is_left_out_is_no_background_either(data: Path) -> None:
    write_pack(data, "masks-chosen", {"backgrounds-plain/s0.png": png(disc(90)[1])}, zipped=False)
    packs = dataclasses.replace(PACKS, pairs={"masks-chosen/backgrounds-plain": 1.0, **PACKS.pairs})
    library = read_library(data, packs.without(["masks-chosen", "masks-discs"]), CPU)
    assert [pack.names for pack in library.backgrounds] == [("s1",)]
    (data / "masks-discs.zip").unlink()  # what is left out need not be there
    assert len(read_library(data, packs.without(["masks-chosen", "masks-discs"]), CPU).pairs) == 1


def test_validation_pictures_are_squares_with_their_mattes(scenes: Scenes) -> None:
    (square,) = scenes.held_out()
    assert square.shape == (64, 64, 4)
    assert square[..., 3].max() == 255


def test_batches_have_the_promised_form(scenes: Scenes) -> None:
    pictures, mattes, classes = scenes.batch(0, 32)
    assert classes is None
    assert pictures.shape == (4, 3, 32, 32)
    assert mattes.shape == (4, 1, 32, 32)
    for values in (pictures, mattes):
        assert values.dtype == torch.float32
        assert 0 <= values.min() <= values.max() <= 1


def test_a_step_is_the_same_whatever_came_before(scenes: Scenes) -> None:
    first = scenes.batch(7, 32)
    scenes.batch(8, 32)
    again = scenes.batch(7, 32)
    other = scenes.batch(8, 32)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_views_show_as_much_of_a_picture_as_is_wanted(data: Path) -> None:
    def subjects(least: float) -> float:
        """Share of the pictures that is subject: the more, the closer their views."""
        packs = dataclasses.replace(PACKS, composites=0.0, least_view=least)
        return float(Scenes(data, packs, CPU, size=64, seed=1).batch(0, 32).mattes.mean())

    assert subjects(0.5) > 1.2 * subjects(1.0)


def test_batches_may_be_all_composites(data: Path) -> None:
    scenes = Scenes(data, dataclasses.replace(PACKS, composites=1.0), CPU, size=4, seed=1)
    assert scenes.batch(0, 32).pictures.shape == (4, 3, 32, 32)


def test_crops_stay_inside_the_picture_unless_turned() -> None:
    maps = inside(draw(), 500, least=0.5)
    corners = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1], [1, 1, 1]]).T
    reach = (maps @ corners).abs().amax(dim=(1, 2))
    straight = maps[:, 0, 1].abs() < 1e-6
    assert straight.sum() > 200
    assert reach[straight].max() <= 1 + 1e-5
    assert reach.max() <= math.sqrt(2) + 1e-5


def test_cutouts_land_mostly_in_sight() -> None:
    subject = torch.ones(400, 1, 16, 16)
    seen = sample(subject, placed(draw(), 400), 32, padding="zeros").mean(dim=(1, 2, 3))
    assert seen.min() > 0.02
    assert (seen > 0.05).float().mean() > 0.95
