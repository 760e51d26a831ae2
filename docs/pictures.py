"""Makes the pictures of the docs, with the service's own pipeline, and the page's samples."""

import asyncio
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from api.app import open_pipeline
from api.options import CutoutOptions
from api.pipeline import Job, Pipeline
from api.settings import load
from model.deadline import Deadline

Pixels = NDArray[np.uint8]
IMAGES = Path(__file__).parent / "images"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
HEIGHT, SQUARE, GAP = 260, 12, 10
"""px: of one picture, of the checkerboard's squares, between pictures."""
DETAIL = (slice(8, 98), slice(150, 222))
BACKDROP = "#b3261e"
SAMPLES = Path(__file__).parents[1] / "api" / "web" / "samples"
SAMPLE_PHOTOS = {"astronaut": "astronaut", "cat": "chelsea", "coffee": "coffee"}
SAMPLE_SIDE, THUMB_SIDE = 512, 128
"""px: of a sample's longer side; of its square preview, shown at half of that."""


def samples() -> None:
    """Writes the photos that the page offers to those who have none at hand, and their previews."""
    SAMPLES.mkdir(exist_ok=True)
    for name, source in SAMPLE_PHOTOS.items():
        bgr = photograph(source)
        height, width = bgr.shape[:2]
        scale = min(1.0, SAMPLE_SIDE / max(height, width))
        save(SAMPLES / f"{name}.jpg", shrunk(bgr, (round(width * scale), round(height * scale))), 85)
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = bgr[top : top + side, left : left + side]
        save(SAMPLES / f"{name}-small.jpg", shrunk(square, (THUMB_SIDE, THUMB_SIDE)), 75)


def shrunk(bgr: Pixels, size: tuple[int, int]) -> Pixels:
    """(height, width, 3): to `size` (width, height)."""
    return np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)


def save(path: Path, bgr: Pixels, quality: int) -> None:
    """As JPEG."""
    cv2.imwrite(str(path), bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])


async def main() -> None:
    """Writes before-after.jpg, edges.jpg, and the page's samples."""
    samples()
    IMAGES.mkdir(exist_ok=True)
    async with open_pipeline(load(anonymous=True)) as pipeline:
        await before_after(pipeline)
        await edges(pipeline)


async def before_after(pipeline: Pipeline) -> None:
    """Each photo above its cutout."""
    columns = []
    for name in PHOTOS:
        photo = photograph(name)
        rgba = await cut(pipeline, photo, CutoutOptions())
        width = round(photo.shape[1] * HEIGHT / photo.shape[0])
        small = cv2.resize(photo, (width, HEIGHT), interpolation=cv2.INTER_AREA)
        columns.append(
            np.vstack(
                [small, np.full((GAP, width, 3), 255, np.uint8), on_checkerboard(rgba, (width, HEIGHT))]
            )
        )
    save(IMAGES / "before-after.jpg", side_by_side(columns), 90)


async def edges(pipeline: Pipeline) -> None:
    """Along an edge: photo, the network's matte enlarged, refined; on red with old and with own colours."""
    photo = photograph("astronaut")
    variants = (
        CutoutOptions(output="alpha", refine=False),
        CutoutOptions(output="alpha"),
        CutoutOptions(background=BACKDROP, format="png", decontaminate=False),
        CutoutOptions(background=BACKDROP, format="png"),
    )
    results = [photo, *[await cut(pipeline, photo, options) for options in variants]]
    size = (round(HEIGHT * 0.8), HEIGHT)
    columns = []
    for result in results:
        detail = cv2.resize(result[DETAIL], size, interpolation=cv2.INTER_CUBIC)
        columns.append(np.asarray(detail if detail.ndim == 3 else cv2.merge([detail] * 3), np.uint8))
    save(IMAGES / "edges.jpg", side_by_side(columns), 90)


def photograph(name: str) -> Pixels:
    """One of scikit-image's, BGR."""
    return np.ascontiguousarray(getattr(data, name)()[..., ::-1])


async def cut(pipeline: Pipeline, photo: Pixels, options: CutoutOptions) -> Pixels:
    """The service's answer, decoded: (h, w), (h, w, 3) BGR or (h, w, 4) BGRA. photo: BGR."""
    source = bytes(cv2.imencode(".png", photo)[1])
    outcome = await pipeline.remove_background(Job(source, options), Deadline.after(60))
    encoded = np.frombuffer(outcome.encoded.body, np.uint8)
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), np.uint8)


def side_by_side(columns: list[Pixels]) -> Pixels:
    """With white between them."""
    gap = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    return np.hstack([part for column in columns for part in (column, gap)][:-1])


def on_checkerboard(bgra: Pixels, size: tuple[int, int]) -> Pixels:
    """(height, width, 3): the cutout, shrunk with premultiplied colours, on grey and white squares."""
    alpha = bgra[..., 3:].astype(np.float32) / 255
    premultiplied = np.dstack([bgra[..., :3] * alpha, alpha])
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0 : size[1], 0 : size[0]] // SQUARE
    board = np.where((x + y) % 2, 255, 214)[..., None]
    return np.rint(small[..., :3] + board * (1 - small[..., 3:])).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    asyncio.run(main())
