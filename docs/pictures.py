"""Makes the pictures of the docs, with the service's own pipeline: python docs/pictures.py"""

import asyncio
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from api.app import open_pipeline
from api.options import CutoutOptions
from api.pipeline import Job
from api.settings import load
from model.deadline import Deadline

IMAGES = Path(__file__).parent / "images"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
HEIGHT, SQUARE, GAP = 260, 12, 10
"""px: of one picture, of the checkerboard's squares, between pictures."""


async def main() -> None:
    """Writes before-after.jpg: each photo above its cutout."""
    IMAGES.mkdir(exist_ok=True)
    columns = []
    async with open_pipeline(load(anonymous=True)) as pipeline:
        for name in PHOTOS:
            photo = getattr(data, name)()
            source = bytes(cv2.imencode(".png", photo[..., ::-1])[1])
            outcome = await pipeline.remove_background(Job(source, CutoutOptions()), Deadline.after(60))
            stored = np.frombuffer(outcome.encoded.body, np.uint8)
            rgba = np.asarray(cv2.imdecode(stored, cv2.IMREAD_UNCHANGED), np.uint8)
            width = round(photo.shape[1] * HEIGHT / photo.shape[0])
            columns.append(
                np.vstack(
                    [
                        cv2.resize(photo[..., ::-1], (width, HEIGHT), interpolation=cv2.INTER_AREA),
                        np.full((GAP, width, 3), 255, np.uint8),
                        on_checkerboard(rgba, (width, HEIGHT)),
                    ]
                )
            )
    gap = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    row = np.hstack([part for column in columns for part in (column, gap)][:-1])
    cv2.imwrite(str(IMAGES / "before-after.jpg"), row, [cv2.IMWRITE_JPEG_QUALITY, 90])


def on_checkerboard(bgra: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width, 3): the cutout, shrunk with premultiplied colours, on grey and white squares."""
    alpha = bgra[..., 3:].astype(np.float32) / 255
    premultiplied = np.dstack([bgra[..., :3] * alpha, alpha])
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    y, x = np.mgrid[0 : size[1], 0 : size[0]] // SQUARE
    board = np.where((x + y) % 2, 255, 214)[..., None]
    return np.rint(small[..., :3] + board * (1 - small[..., 3:])).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    asyncio.run(main())
