"""objectcut evaluate, from the command line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from api.cli import app
from api.commands.evaluate import FilePair, read_gray
from api.commands.scoresheet import read_attributes, write_page
from model.evaluation.benchmark import evaluate as score

DATA = Path(__file__).parents[2] / "data" / "metrics"
REFERENCE: dict[str, dict[str, float]] = json.loads((DATA / "metrics.json").read_text())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and masks of the reference, paired by stem."""
    predictions, masks = tmp_path / "predictions", tmp_path / "masks"
    for folder, kind in ((predictions, "pred"), (masks, "gt")):
        folder.mkdir()
        for name in REFERENCE:
            shutil.copyfile(DATA / f"{name}.{kind}.png", folder / f"{name}.png")
    return predictions, masks


def evaluate(predictions: Path, masks: Path, *more: str | Path) -> Result:
    arguments = ["evaluate", "--predictions", predictions, "--masks", masks, *more]
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


def test_figures_of_every_image_and_the_mean(folders: tuple[Path, Path], tmp_path: Path) -> None:
    result = evaluate(*folders, "--json", tmp_path / "new" / "figures.json", "--per-image")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "new" / "figures.json").read_text())
    assert set(figures) == {"mean", "images"}
    for name, reference in REFERENCE.items():
        ours = figures["images"][name]
        assert {key: ours[key] for key in reference} == pytest.approx(reference, abs=1e-6)
    mae = np.mean([reference["MAE"] for reference in REFERENCE.values()])
    assert figures["mean"]["MAE"] == pytest.approx(mae)
    assert f"{mae:.4f}" in result.stderr


def test_mean_alone(folders: tuple[Path, Path], tmp_path: Path) -> None:
    assert evaluate(*folders, "--json", tmp_path / "figures.json").exit_code == 0
    assert set(json.loads((tmp_path / "figures.json").read_text())) == {"mean"}


def test_page_and_attributes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "attributes.csv").write_text("name,attributes\nboxes,SC OC\nlines.jpg,SC\n")
    written = ("--json", tmp_path / "figures.json", "--html", tmp_path / "new" / "page.html")
    result = evaluate(*folders, *written, "--attributes", tmp_path / "attributes.csv")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures["attributes"]) == {"OC", "SC"}
    assert figures["attributes"]["OC"]["MAE"] == pytest.approx(REFERENCE["boxes"]["MAE"])
    page = (tmp_path / "new" / "page.html").read_text()
    assert page.count("data:image/png;base64,") == 2 * len(REFERENCE)
    assert "<polyline" in page
    best, worst = (page.index(f"<h2>{end}</h2>") for end in ("Best", "Worst"))
    assert best < page.index("perfect: S 1.0000") < worst < page.index("boxes: S 0.6745")


def test_masks_are_turned_as_their_pictures_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.tile(GRAY, (1, 2))).save(tmp_path / "mask.png", exif=exif)
    assert read_gray(tmp_path / "mask.png").shape == (16, 8)


def test_attributes_as_spreadsheets_write_them(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,attributes\nphoto.v2,SC\nphoto.v3.JPG,SC\n", encoding="utf-8-sig")
    assert read_attributes(tmp_path / "a.csv") == {"SC": {"photo.v2", "photo.v3"}}


def test_a_photo_that_opencv_cannot_read_is_left_out_of_the_page(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "a.heic").write_bytes(b"no photo for OpenCV")
    predictions, masks = folders
    files = {stem: (predictions / f"{stem}.png", masks / f"{stem}.png") for stem in REFERENCE}
    report = score([FilePair(stem, *pair) for stem, pair in files.items()])
    photos = dict.fromkeys(REFERENCE, tmp_path / "a.heic")
    write_page(tmp_path / "page.html", report, title="t", photos=photos, files=files)
    assert (tmp_path / "page.html").read_text().count("data:image/png;base64,") == 2 * len(REFERENCE)


def test_attributes_of_strangers_are_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "attributes.csv").write_text("nobody,SC\n")
    result = evaluate(*folders, "--attributes", tmp_path / "attributes.csv")
    assert result.exit_code == 1
    assert "no pair 'nobody'" in result.stderr


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        pytest.param(
            lambda root: (root / "predictions/boxes.png").unlink(),
            2,
            "masks/boxes.png has no prediction",
            id="gone",
        ),
        pytest.param(
            lambda root: (root / "masks/full.png").unlink(), 2, "predictions/full.png has no mask", id="extra"
        ),
        pytest.param(
            lambda root: [(root / f"masks/{name}.png").unlink() for name in ("full", "boxes")],
            2,
            "predictions/boxes.png has no mask (nor have 1 more)",
            id="two extra: the first is named",
        ),
        pytest.param(
            lambda root: shutil.copy(root / "masks/full.png", root / "predictions/full.webp"),
            2,
            "full.png and full.webp have one stem",
            id="one stem twice",
        ),
        pytest.param(
            lambda root: (root / "predictions/full.png").write_bytes(b"no"),
            1,
            "is not a picture",
            id="damaged",
        ),
        pytest.param(
            lambda root: cv2.imwrite(str(root / "masks/full.png"), np.eye(64, dtype=np.uint8)),
            1,
            "full.png has no value over 1",
            id="numbers of classes",
        ),
        pytest.param(lambda root: shutil.rmtree(root / "predictions"), 2, "no pictures", id="no folder"),
    ],
)
def test_what_cannot_be_scored_is_named(
    folders: tuple[Path, Path], tmp_path: Path, spoil: Callable[[Path], object], code: int, says: str
) -> None:
    spoil(tmp_path)
    result = evaluate(*folders, "--json", tmp_path / "figures.json")
    assert result.exit_code == code
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert not (tmp_path / "figures.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="neither predictions nor model"),
        pytest.param(["--model", "lite"], id="model without images"),
        pytest.param(["--predictions", ".", "--raw"], id="raw without model"),
    ],
)
def test_contradicting_options(arguments: list[str], tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["evaluate", "--masks", str(tmp_path), *arguments]).exit_code == 2


GRAY = np.arange(64, dtype=np.uint8).reshape(8, 8)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(GRAY, id="grey"),
        pytest.param(cv2.merge([GRAY] * 3), id="grey written as colour"),
        pytest.param(cv2.merge([GRAY] * 3 + [np.full_like(GRAY, 255)]), id="opaque"),
        pytest.param(cv2.merge([np.zeros_like(GRAY)] * 3 + [GRAY]), id="a cutout: its alpha"),
        pytest.param(GRAY.astype(np.uint16) * 257, id="16 bits"),
        pytest.param(cv2.merge([np.zeros_like(GRAY)] * 3 + [GRAY]).astype(np.uint16) * 257, id="both"),
    ],
)
def test_read_gray(picture: NDArray[np.uint8], tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), picture)
    np.testing.assert_array_equal(read_gray(path), GRAY)
