"""Data sets as their authors pack them, and what does not fit."""

from pathlib import Path

import pytest

from model.training.layouts import LAYOUTS, class_names, samples
from model.training.pictures import PackError


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("nested", [True, False], ids=["among others", "by itself"])
def test_every_split_is_found_in_each_of_its_places(tmp_path: Path, name: str, nested: bool) -> None:
    layout = LAYOUTS[name]
    for split, places in layout.splits.items():
        for number, (images, masks) in enumerate(places):
            data = tmp_path / split / str(number)
            stem = f"{layout.alike}picture"
            root = data / name if nested else data
            touch(root, f"{images}/{stem}.jpg", f"{masks}/{stem}.png", f"{masks}/of another split.png")
            (found,) = samples(data, f"{name}/{split}")
            assert found.image == root / images / f"{stem}.jpg"
            assert found.mask == root / masks / f"{stem}.png"


@pytest.mark.parametrize(
    ("named", "images", "masks"),
    [
        ("HRSOD/train", "HRSOD_release/HRSOD_train", "HRSOD_release/HRSOD_train_mask"),
        ("HRSOD/test", "TE-HRSOD/im", "TE-HRSOD/gt"),
        ("DUTS/train", "TR-DUTS/im", "TR-DUTS/gt"),
        ("CAMO/test", "TE-CAMO/im", "TE-CAMO/gt"),
        ("CHAMELEON/test", "CHAMELEON/im", "CHAMELEON/gt"),
        ("P3M/test", "TE-P3M-500-NP/im", "TE-P3M-500-NP/gt"),
        ("AM-2k/test", "TE-AM-2k/im", "TE-AM-2k/gt"),
    ],
)
def test_names_that_are_in_use(tmp_path: Path, named: str, images: str, masks: str) -> None:
    touch(tmp_path, f"{images}/a.jpg", f"{masks}/a.png")
    assert [sample.image.name for sample in samples(tmp_path, named)] == ["a.jpg"]


def test_classes_of_dis5k(tmp_path: Path) -> None:
    for stem in ("1#Accessories#1#Bag#23_o", "2#Aircraft#6#Kite#11_o", "1#Accessories#1#Bag#24_o", "plain"):
        touch(tmp_path, f"DIS-TR/im/{stem}.jpg", f"DIS-TR/gt/{stem}.png")
    found = samples(tmp_path, "DIS5K/train")
    assert [sample.kind for sample in found] == ["Bag", "Bag", "Kite", None]
    assert class_names(found) == ["Bag", "Kite"]


def test_cod10k_leaves_out_what_is_not_camouflaged(tmp_path: Path) -> None:
    for stem in ("COD10K-CAM-1-Aquatic-1-BatFish-2", "COD10K-NonCAM-6-x"):
        touch(tmp_path, f"Train/Image/{stem}.jpg", f"Train/GT_Object/{stem}.png")
    assert [sample.image.stem for sample in samples(tmp_path, "COD10K/train")] == [
        "COD10K-CAM-1-Aquatic-1-BatFish-2"
    ]


def test_a_plain_folder_holds_every_tenth_picture_out(tmp_path: Path) -> None:
    for number in range(200):
        touch(tmp_path, f"images/{number}.jpg", f"masks/{number}.png")
    train, held_out = samples(tmp_path, "./train"), samples(tmp_path, "./val")
    assert len(train) + len(held_out) == 200
    assert 10 <= len(held_out) <= 30
    assert not set(train) & set(held_out)
    assert samples(tmp_path.parent, f"{tmp_path.name}/val")[0].image == held_out[0].image


def test_a_small_folder_holds_one_out(tmp_path: Path) -> None:
    for number in range(2):
        touch(tmp_path, f"images/{number}.jpg", f"masks/{number}.png")
    assert len(samples(tmp_path, "./train")) == len(samples(tmp_path, "./val")) == 1


@pytest.mark.parametrize(
    ("files", "named", "says"),
    [
        pytest.param(["images/a.jpg"], "./train", r"no folder .*masks", id="no masks"),
        pytest.param(
            ["images/a.jpg", "masks/b.png"], "./train", r"a\.jpg has no matte .*masks/a", id="unpaired"
        ),
        pytest.param(
            ["images/a.txt", "masks/b.png"], "./train", "images holds no pictures", id="no pictures"
        ),
        pytest.param(
            ["images/a.jpg", "images/a.png", "masks/a.png"], "./train", r"a\.png have one stem", id="twins"
        ),
        pytest.param(
            ["images/a.jpg", "images/b.heic", "masks/a.png", "masks/b.png"],
            "./train",
            r"masks/b\.png has no picture .*images/b\.\* \(\.webp, ",
            id="a photo of another kind",
        ),
        pytest.param(["images/a.jpg", "masks/a.png"], "./train", "all there is", id="one picture"),
        pytest.param(["images/a.jpg", "masks/a.png"], "./test", "train and val, not 'test'", id="no split"),
        pytest.param(["DIS-TR/im/a.jpg"], "DIS5K/train", "the folders DIS-TR/im and DIS-TR/gt", id="half"),
        pytest.param(["x.jpg"], "DUTS/val", "no split 'val': there are train, test", id="split of another"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, files: list[str], named: str, says: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(PackError, match=says):
        samples(tmp_path, named)
