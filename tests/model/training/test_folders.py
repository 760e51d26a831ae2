"""Batches from folders: in an order of their own, the same for the same turn, checked before the start."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from model.training import folders as module
from model.training.folders import FolderSource
from model.training.pictures import PackError
from model.training.recipe import Folders
from model.training.recipes.finetune import RICH
from tests.model.training.conftest import disc, drawn_folder

CPU = torch.device("cpu")
FLIP = Folders(train=("./train",), validation=("./val",), load_side=40)
PHOTO = replace(FLIP, look="photo", composites=0.5, synthesis=RICH)


@contextmanager
def source(
    data: Path, folders: Folders = FLIP, *, stride: int = 1, classes: int = 0
) -> Iterator[FolderSource]:
    opened = FolderSource(data, folders, CPU, size=4, seed=3, stride=stride, classes=classes)
    with closing(opened):
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = drawn_folder(tmp_path / "data", 9, 48)
    for seed in range(2):
        (root / "backgrounds").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "backgrounds" / f"{seed}.png"), disc(70 + seed)[0])
    return root


@pytest.mark.parametrize("folders", [pytest.param(FLIP, id="flip"), pytest.param(PHOTO, id="photo")])
def test_a_turn_is_the_same_whatever_came_before(data: Path, folders: Folders) -> None:
    with source(data, folders) as first:
        batches = [first.batch(turn, 32) for turn in range(4)]
    with source(data, folders, stride=2) as second:
        again = second.batch(3, 32)
    assert torch.equal(again.pictures, batches[3].pictures)
    assert torch.equal(again.mattes, batches[3].mattes)
    assert not torch.equal(batches[2].pictures, batches[3].pictures)
    assert again.pictures.shape == (4, 3, 32, 32)
    assert again.mattes.shape == (4, 1, 32, 32)
    assert 0 <= again.pictures.min() <= again.pictures.max() <= 1


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_any_share_of_a_batch_can_be_composited(data: Path, share: float) -> None:
    with source(data, replace(PHOTO, composites=share)) as opened:
        assert opened.batch(0, 32).pictures.shape == (4, 3, 32, 32)


def test_an_epoch_has_every_picture_once(data: Path) -> None:
    with source(data) as opened:
        seen = Counter(opened._index(place) for place in range(2 * opened.pictures))
        assert set(seen.values()) == {2}
        assert opened.pictures == 8
        assert [opened._index(place) for place in range(8)] != [
            opened._index(8 + place) for place in range(8)
        ]
        assert opened.described == ["./train: 8 pictures"]


def test_validation_pictures_are_not_trained_on(data: Path) -> None:
    with source(data) as opened:
        assert not set(opened.samples) & set(opened.validation)
        (square,) = opened.held_out()
        assert square.shape == (40, 40, 4)


def test_pictures_that_memory_has_no_room_for_are_read_anew(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source(data) as kept:
        expected = kept.batch(0, 32)
    monkeypatch.setattr(module, "KEPT_BYTES", 0)
    with source(data) as anew:
        assert torch.equal(anew.batch(0, 32).pictures, expected.pictures)


def test_pictures_keep_their_mattes(data: Path) -> None:
    """A disc is of one colour, all else of another, whatever crop and mirror."""
    with source(data) as opened:
        pictures, mattes, _ = opened.batch(0, 32)
    for picture, matte in zip(pictures, mattes, strict=True):
        inside, outside = picture[:, matte[0] == 1], picture[:, matte[0] == 0]
        assert inside.shape[1] > 20
        assert inside.std(dim=1).max() < 0.02
        assert outside.std(dim=1).max() < 0.02


def test_classes_are_numbers_by_name(tmp_path: Path) -> None:
    for seed, kind in enumerate(("Kite", "Bag", "Kite")):
        for folder, pixels in zip(("im", "gt"), disc(seed), strict=True):
            (tmp_path / "DIS-TR" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "DIS-TR" / folder / f"1#Things#1#{kind}#{seed}.png"), pixels)
    dis = replace(FLIP, train=("DIS5K/train",), validation=("DIS5K/train",))
    with source(tmp_path, dis, classes=2) as opened:
        classes = torch.cat([opened.batch(turn, 32).classes for turn in range(3)])  # type: ignore[misc]
        assert Counter(classes.tolist()) == {0: 4, 1: 8}
    with (
        pytest.raises(PackError, match="2 classes, the recipe's head has 1"),
        source(tmp_path, dis, classes=1),
    ):
        pass


def test_a_head_of_classes_is_told_that_none_is_known(data: Path) -> None:
    with source(data, classes=2) as opened:
        classes = opened.batch(0, 32).classes
        assert classes is not None
        assert classes.tolist() == [-1] * 4


def test_a_matte_that_is_a_cutout_is_its_alpha(data: Path) -> None:
    with source(data) as opened:
        expected = opened.batch(0, 32).mattes
    for path in (data / "masks").iterdir():
        matte = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        cv2.imwrite(str(path), cv2.merge([np.full_like(matte, 255)] * 3 + [matte]))
    with source(data) as opened:
        assert torch.equal(opened.batch(0, 32).mattes, expected)


@pytest.mark.parametrize(
    ("file", "body", "says"),
    [
        pytest.param("images/disc4.png", b"", r"disc4\.png is not a picture", id="empty picture"),
        pytest.param("masks/disc5.png", b"no", r"disc5\.png is not a picture", id="no matte"),
        pytest.param(
            "masks/disc5.png",
            bytes(cv2.imencode(".png", np.zeros((48, 24), np.uint8))[1]),
            r"masks/disc5\.png is 24x48 px, its picture 48x48",
            id="another shape",
        ),
        pytest.param(
            "masks/disc5.png",
            bytes(cv2.imencode(".png", np.eye(48, dtype=np.uint8) * 20)[1]),
            r"masks/disc5\.png has no value over 20: it seems to number classes",
            id="numbers of classes",
        ),
    ],
)
def test_what_does_not_fit_is_named_at_the_start(data: Path, file: str, body: bytes, says: str) -> None:
    (data / file).write_bytes(body)
    with pytest.raises(PackError, match=says), source(data, replace(FLIP, validation=())):
        pass
