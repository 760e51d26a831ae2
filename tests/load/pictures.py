"""The pictures that the load is made of, drawn here: sizes and formats as people send them."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.postprocess.drawn import ellipse, natural

# Width, height, format and how often of ten.
_MIX = (
    (1280, 960, "jpeg", 5),
    (960, 1280, "jpeg", 2),
    (640, 480, "jpeg", 1),
    (800, 600, "png", 1),
    (1280, 720, "webp", 1),
)


@dataclass(frozen=True, slots=True)
class Photo:
    """A file and its media type."""

    data: bytes
    media_type: str


def mixture() -> list[Photo]:
    """Ten, some of them the same, in an order that spreads them."""
    photos = [
        photo
        for seed, (width, height, kind, times) in enumerate(_MIX)
        for photo in [_drawn(width, height, kind, seed=seed)] * times
    ]
    order = np.random.default_rng(0).permutation(len(photos))
    return [photos[index] for index in order]


def _drawn(width: int, height: int, kind: str, *, seed: int) -> Photo:
    """An ellipse of one texture before another."""
    alpha = ellipse(height, width, height / 100)[..., None]
    front, back = (
        natural(height, width, 2 * seed + side, mean, 30)
        for side, mean in enumerate(((170, 110, 90), (80, 120, 140)))
    )
    pixels = np.rint(alpha * front + (1 - alpha) * back).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=90)
    return Photo(file.getvalue(), f"image/{kind}")
