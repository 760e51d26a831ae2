"""Data sets as folders: the public ones as they are published, and plain images/ with masks/.

A data set is named NAME/SPLIT. NAME is a key of LAYOUTS, found below the data folder as its authors pack it,
or repacked as many do: SPLIT's own folder with `im` and `gt`. Any other NAME is a folder, `.` for the data
folder itself, with

    images/STEM.jpg|png|webp|…    pictures
    masks/STEM.png|…              their mattes: of the same shape, white where the subject is

of which `val` is every tenth picture, by a hash of its stem, and `train` all others.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.training.pictures import PICTURES, PackError

__all__ = ["LAYOUTS", "Sample", "class_names", "samples"]

_HELD_OUT = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and its matte. kind: the name of its class, where the data set tells it."""

    image: Path
    mask: Path
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """splits: folders of pictures and of mattes, in turns of preference. alike: what the stems start with.
    kinds: the stems tell a class, as DIS5K's do.
    """

    splits: Mapping[str, Sequence[tuple[str, str]]]
    alike: str = ""
    kinds: bool = False


_OWN = Layout(splits={})


def _layout(alike: str = "", *, kinds: bool = False, **splits: str) -> Layout:
    """splits: `IMAGES MASKS`, several of them parted by `;`."""
    places = {
        split: tuple((images, masks) for images, masks in (place.split(" ") for place in text.split(";")))
        for split, text in splits.items()
    }
    return Layout(places, alike, kinds)


LAYOUTS: Mapping[str, Layout] = {
    # Salient objects
    "DUTS": _layout(
        train="DUTS-TR/DUTS-TR-Image DUTS-TR/DUTS-TR-Mask;TR-DUTS/im TR-DUTS/gt",
        test="DUTS-TE/DUTS-TE-Image DUTS-TE/DUTS-TE-Mask;TE-DUTS/im TE-DUTS/gt",
    ),
    "ECSSD": _layout(test="ECSSD/images ECSSD/ground_truth_mask;images ground_truth_mask;ECSSD/im ECSSD/gt"),
    "HKU-IS": _layout(test="HKU-IS/imgs HKU-IS/gt;imgs gt;HKU-IS/im HKU-IS/gt"),
    "PASCAL-S": _layout(
        test="datasets/imgs/pascal datasets/masks/pascal;PASCAL-S/Imgs PASCAL-S/GT;PASCAL-S/im PASCAL-S/gt"
    ),
    "DUT-OMRON": _layout(
        test="DUT-OMRON-image pixelwiseGT-new-PNG;DUT-OMRON/DUT-OMRON-image DUT-OMRON/pixelwiseGT-new-PNG;"
        "DUT-OMRON/im DUT-OMRON/gt"
    ),
    "SOD": _layout(test="SOD/Images SOD/GT;Images GT;SOD/im SOD/gt"),
    "SOC": _layout(
        train="TrainSet/Imgs TrainSet/gt;SOC6K_Release/TrainSet/Imgs SOC6K_Release/TrainSet/gt",
        val="ValSet/Imgs ValSet/gt;SOC6K_Release/ValSet/Imgs SOC6K_Release/ValSet/gt",
        test="TestSet/Imgs TestSet/gt;SOC6K_Release/TestSet/Imgs SOC6K_Release/TestSet/gt",
    ),
    # Salient objects in high resolution
    "DAVIS-S": _layout(test="DAVIS-S/imgs DAVIS-S/gt;imgs gt;DAVIS-S/im DAVIS-S/gt"),
    "HRSOD": _layout(
        train="HRSOD_train HRSOD_train_mask;HRSOD_release/HRSOD_train HRSOD_release/HRSOD_train_mask;"
        "TR-HRSOD/im TR-HRSOD/gt",
        test="HRSOD_test HRSOD_test_mask;HRSOD_release/HRSOD_test HRSOD_release/HRSOD_test_mask;"
        "TE-HRSOD/im TE-HRSOD/gt",
    ),
    "UHRSD": _layout(
        train="UHRSD_TR_2K/image UHRSD_TR_2K/mask;TR-UHRSD/im TR-UHRSD/gt",
        test="UHRSD_TE_2K/image UHRSD_TE_2K/mask;TE-UHRSD/im TE-UHRSD/gt",
    ),
    # Dichotomous segmentation: "GROUP#Group name#CLASS#Class name#id"
    "DIS5K": _layout(
        kinds=True,
        train="DIS-TR/im DIS-TR/gt",
        val="DIS-VD/im DIS-VD/gt",
        **{f"test{part}": f"DIS-TE{part}/im DIS-TE{part}/gt" for part in (1, 2, 3, 4)},
    ),
    # Camouflaged objects
    "CAMO": _layout(
        train="CAMO-V.1.0-CVIU2019/Images/Train CAMO-V.1.0-CVIU2019/GT;Images/Train GT;TR-CAMO/im TR-CAMO/gt",
        test="CAMO-V.1.0-CVIU2019/Images/Test CAMO-V.1.0-CVIU2019/GT;Images/Test GT;TE-CAMO/im TE-CAMO/gt",
    ),
    "COD10K": _layout(
        "COD10K-CAM-",
        train="COD10K-v3/Train/Image COD10K-v3/Train/GT_Object;Train/Image Train/GT_Object;"
        "TR-COD10K/im TR-COD10K/gt",
        test="COD10K-v3/Test/Image COD10K-v3/Test/GT_Object;Test/Image Test/GT_Object;"
        "TE-COD10K/im TE-COD10K/gt",
    ),
    "NC4K": _layout(test="NC4K/Imgs NC4K/GT;Imgs GT;NC4K/im NC4K/gt"),
    "CHAMELEON": _layout(
        test="CHAMELEON/Imgs CHAMELEON/GT;CHAMELEON/Image CHAMELEON/GT;Imgs GT;Image GT;"
        "CHAMELEON/im CHAMELEON/gt"
    ),
    # Mattes
    "P3M": _layout(
        train="P3M-10k/train/blurred_image P3M-10k/train/mask;train/blurred_image train/mask;"
        "TR-P3M-10k/im TR-P3M-10k/gt",
        test="P3M-10k/validation/P3M-500-NP/original_image P3M-10k/validation/P3M-500-NP/mask;"
        "validation/P3M-500-NP/original_image validation/P3M-500-NP/mask;TE-P3M-500-NP/im TE-P3M-500-NP/gt",
        testp="P3M-10k/validation/P3M-500-P/blurred_image P3M-10k/validation/P3M-500-P/mask;"
        "validation/P3M-500-P/blurred_image validation/P3M-500-P/mask;TE-P3M-500-P/im TE-P3M-500-P/gt",
    ),
    "AM-2k": _layout(
        train="AM-2k/train/original AM-2k/train/mask;train/original train/mask;TR-AM-2k/im TR-AM-2k/gt",
        test="AM-2k/validation/original AM-2k/validation/mask;validation/original validation/mask;"
        "TE-AM-2k/im TE-AM-2k/gt",
    ),
}
"""As published. `im` and `gt` below TR-NAME or TE-NAME is how BiRefNet's authors repack what they use."""


def samples(data: Path, named: str) -> list[Sample]:
    """The pictures of a data set, NAME or NAME/SPLIT, by stem; `NAME` alone is `NAME/train`.

    data: the folder that holds the data sets, or the data set itself. Raises PackError where there is none,
    where a picture has no matte, where a folder holds no pictures, and where a plain one has a matte of none.
    """
    name, _, split = named.rpartition("/") if "/" in named else (named, "", "train")
    layout = LAYOUTS.get(name)
    if layout is None:
        return _held(_paired(*_plain(data / name)), split)
    if split not in layout.splits:
        raise PackError(f"{name} has no split '{split}': there are {', '.join(layout.splits)}")
    for root in (data / name, data):
        for images, masks in layout.splits[split]:
            if (root / images).is_dir() and (root / masks).is_dir():
                return _paired(root / images, root / masks, layout)
    wanted = "; or ".join(f"{images} and {masks}" for images, masks in layout.splits[split])
    raise PackError(f"there is no {named} in {data}: it wants the folders {wanted}")


def class_names(found: Sequence[Sample]) -> list[str]:
    """Every class there is, in order: a sample's class is its place in this list."""
    return sorted({sample.kind for sample in found if sample.kind})


def _plain(folder: Path) -> tuple[Path, Path]:
    images, masks = folder / "images", folder / "masks"
    for part in (images, masks):
        if not part.is_dir():
            raise PackError(f"there is no folder {part}")
    return images, masks


def _paired(images: Path, masks: Path, layout: Layout = _OWN) -> list[Sample]:
    pictures, mattes = _by_stem(images), _by_stem(masks)
    chosen = sorted(stem for stem in pictures if stem.startswith(layout.alike))
    if not chosen:
        raise PackError(f"{images} holds no pictures")
    for stem in chosen:
        if stem not in mattes:
            raise PackError(f"{pictures[stem]} has no matte {masks / stem}.*")
    if layout is _OWN and (single := min(mattes.keys() - pictures.keys(), default=None)):
        # Of one's own pictures; as published, two splits may share a folder of mattes.
        raise PackError(f"{mattes[single]} has no picture {images / single}.* ({', '.join(PICTURES)})")
    return [Sample(pictures[stem], mattes[stem], _kind(stem) if layout.kinds else None) for stem in chosen]


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES and not path.name.startswith("."):
            if other := found.get(path.stem):
                raise PackError(f"{other} and {path.name} have one stem")
            found[path.stem] = path
    return found


def _kind(stem: str) -> str | None:
    """DIS5K's class: the fourth of its stem's parts."""
    parts = stem.split("#")
    return parts[3] if len(parts) >= 5 else None


def _held(found: list[Sample], split: str) -> list[Sample]:
    """The part of a plain folder that a split is; neither is ever empty, where there are two pictures."""
    if split not in ("train", "val"):
        raise PackError(f"a folder of images and masks has the splits train and val, not '{split}'")
    hashes = {sample: zlib.crc32(sample.image.stem.encode()) for sample in found}
    held_out = {sample for sample in found if hashes[sample] % _HELD_OUT == 0}
    held_out = held_out or {min(found, key=hashes.__getitem__)}
    if len(held_out) == len(found):
        raise PackError(f"{found[0].image} is all there is to train on and to validate with: add pictures")
    return [sample for sample in found if (sample in held_out) == (split == "val")]
