import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.training.packs import Archive, not_for_training, read_pairs, read_pictures, validation_pairs
from model.training.pictures import PackError
from model.training.recipe import Packs
from model.training.recipes import RECIPES
from tests.model.training.conftest import PACKS, pair_files, write_pack


def everything(pack: str, stem: str) -> bool:
    return True


def test_pairs_from_a_zip(data: Path) -> None:
    pack = read_pairs(data, "pairs-discs", PACKS, everything)
    assert pack.names == tuple(f"p{i}" for i in range(6))
    assert pack.pictures.shape == (6, 4, 64, 64)
    assert pack.pictures.dtype == torch.uint8
    assert pack.pictures[:, 3].amax() == 255
    assert pack.pictures[:, 3].amin() == 0


def test_masks_of_another_pack_find_their_pictures(data: Path) -> None:
    pack = read_pairs(data, "masks-discs/unlabelled-discs", PACKS, lambda _, stem: stem != "u2")
    assert pack.names == ("u0", "u1")


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    files = {file.replace(".png", ".PNG"): body for file, body in pair_files(2, set()).items()}
    write_pack(tmp_path, "pairs-discs", files, zipped=False)
    assert read_pairs(tmp_path, "pairs-discs", PACKS, everything).names == ("p0", "p1")


def test_validation_pictures_are_named_by_their_picture_pack(data: Path) -> None:
    assert not_for_training(data, PACKS) == {("pairs-discs", "p5"), ("unlabelled-discs", "u2")}


def test_an_index_says_of_other_packs_pictures_that_they_are_unused(data: Path) -> None:
    rows = b"pack,name,split\nbackgrounds-plain,s1,unused\npairs-discs,p0,unused\nunlabelled-discs,u2,val"
    write_pack(
        data,
        "masks-chosen",
        {"unlabelled-discs/u2.png": pair_files(1, set())["masks/p0.png"], "index.csv": rows},
        zipped=False,
    )
    packs = dataclasses.replace(PACKS, pairs={"masks-chosen/unlabelled-discs": 1.0, **PACKS.pairs})
    unused = {("backgrounds-plain", "s1"), ("pairs-discs", "p0")}
    assert not_for_training(data, packs) == {("pairs-discs", "p5"), ("unlabelled-discs", "u2"), *unused}
    assert [stem for stem, *_ in validation_pairs(data, "masks-chosen/unlabelled-discs")] == ["u2"]


def test_the_pack_that_comes_along_is_whole(tmp_path: Path) -> None:
    archive = Archive(tmp_path, "masks-chosen")
    files = {file for file in archive.files if file != "index.csv"}
    rows = list(archive.index())
    assert {f"{row['pack']}/{row['name']}.png" for row in rows if row["split"] != "unused"} == files
    packs = RECIPES["lite"].data
    assert isinstance(packs, Packs)
    named = {name.partition("/")[2] for name in packs.pairs if name.startswith("masks-chosen/")}
    assert named == {Path(file).parent.name for file in files}
    mask = archive.decode(min(files), cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 255}


def test_validation_pairs_are_whole_pictures(data: Path) -> None:
    ((stem, picture, matte),) = validation_pairs(data, "pairs-discs")
    assert stem == "p5"
    assert picture.shape == (48, 48, 3)
    assert matte.shape == (48, 48)


def test_cutouts_and_scenes(data: Path) -> None:
    cutouts = read_pictures(data, "foregrounds-discs", PACKS, everything, alpha=True)
    scenes = read_pictures(data, "backgrounds-plain", PACKS, everything, alpha=False)
    assert cutouts.pictures.shape == (2, 4, 64, 64)
    assert scenes.pictures.shape == (2, 3, 64, 64)


def _without(name: str) -> dict[str, bytes]:
    return {file: body for file, body in pair_files(2, set()).items() if file != name}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param(_without("images/p1.png"), "masks/p1.png has no picture", id="mask without picture"),
        pytest.param(
            {**_without(""), "masks/p0.png": b"no picture"},
            "masks/p0.png is not a picture",
            id="not a picture",
        ),
        pytest.param({"index.csv": b"name,split"}, "no picture of it is to be used", id="empty"),
        pytest.param(
            {**_without(""), "masks/p0.png": pair_files(1, set())["images/p0.png"][:0] + b""},
            "masks/p0.png is not a picture",
            id="empty file",
        ),
    ],
)
def test_errors_name_the_file(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    write_pack(tmp_path, "pairs-broken", files, zipped=False)
    with pytest.raises(PackError, match=says):
        read_pairs(tmp_path, "pairs-broken", PACKS, everything)


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="pairs-nowhere"):
        read_pairs(tmp_path, "pairs-nowhere", PACKS, everything)


def test_scenes_are_no_cutouts(data: Path) -> None:
    with pytest.raises(PackError, match=r"s0\.png has no alpha"):
        read_pictures(data, "backgrounds-plain", PACKS, everything, alpha=True)
