"""Makes GALLERY.md's pictures with the service's own pipeline: what each shipped network cuts, and halos."""

import asyncio
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from api.app import open_pipeline
from api.options import CutoutOptions
from api.pipeline import Pipeline
from api.settings import load
from docs.pictures import (
    GAP,
    IMAGES,
    PHOTOS,
    Pixels,
    cut,
    on_checkerboard,
    photograph,
    save,
    shrunk,
    side_by_side,
)
from tests.postprocess.drawn import scenes

SHIPPED = sorted(
    path.stem for path in (Path(__file__).parents[1] / "model" / "shipped").glob("*.safetensors")
)
HEIGHT = 132
"""px: of one picture of the gallery."""
BACKGROUNDS = ("white", "#111111", "#1f6f78", "blur")
DRAWN = ("soft/texture", "hair/texture")
HALOS = {"astronaut": (6, 160, 60), "coffee": (70, 400, 80), "soft/texture": (125, 322, 40)}
"""Top, left and side of a square on an edge, px."""
GROUNDS = ("#111111", "white")
HALO_SIDE = 240
"""px: of an enlarged square."""


async def main() -> None:
    """Writes gallery-MODEL.jpg for each shipped network, and halos.jpg."""
    subjects = photographs()
    async with open_pipeline(load(anonymous=True)) as pipeline:
        for model in SHIPPED:
            columns = [await column(pipeline, bgr, model) for bgr in subjects.values()]
            save(IMAGES / f"gallery-{model}.jpg", side_by_side(columns), 82)
        save(IMAGES / "halos.jpg", await halos(pipeline, subjects), 88)


def photographs() -> dict[str, Pixels]:
    """BGR: scikit-image's photographs with a subject, and scenes drawn by code."""
    grey = np.asarray(data.camera(), np.uint8)  # type: ignore[no-untyped-call]
    drawn = {scene.name: scene.rgb for scene in scenes(400, 500)}
    return {
        **{name: photograph(name) for name in PHOTOS},
        "camera": np.dstack([grey] * 3),
        **{name: np.ascontiguousarray(drawn[name][..., ::-1]) for name in DRAWN},
    }


async def column(pipeline: Pipeline, bgr: Pixels, model: str) -> Pixels:
    """The photo; under it its cutout on a checkerboard and on every background."""
    size = (round(bgr.shape[1] * HEIGHT / bgr.shape[0]), HEIGHT)
    cells = [shrunk(bgr, size), on_checkerboard(await cut(pipeline, bgr, CutoutOptions(model=model)), size)]
    for background in BACKGROUNDS:
        options = CutoutOptions(model=model, background=background, format="png")
        cells.append(shrunk(await cut(pipeline, bgr, options), size))
    return stacked(cells)


async def halos(pipeline: Pipeline, subjects: dict[str, Pixels]) -> Pixels:
    """Edges enlarged, on dark and on light: above with the photo's colours, below with the subject's own."""
    rows = []
    for decontaminate in (False, True):
        cells = []
        for name, (top, left, side) in HALOS.items():
            for ground in GROUNDS:
                options = CutoutOptions(background=ground, format="png", decontaminate=decontaminate)
                result = await cut(pipeline, subjects[name], options)
                square = result[top : top + side, left : left + side]
                cells.append(cv2.resize(square, (HALO_SIDE, HALO_SIDE), interpolation=cv2.INTER_CUBIC))
        rows.append(side_by_side([np.asarray(cell, np.uint8) for cell in cells]))
    return stacked(rows)


def stacked(rows: list[Pixels]) -> Pixels:
    """One under the other, with white between them."""
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for row in rows for part in (row, gap)][:-1])


if __name__ == "__main__":
    asyncio.run(main())
