"""What a photo costs besides the network: `python -m tests.bench.host`.

CPU time of one thread, part by part, of our chain and of the straightforward one (Pillow and plain numpy
at full resolution), and how far apart their results are.
"""

import io
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
import torch
from PIL import Image

from api.source.decode import DecodeLimits, decode
from postprocess.alpha import quantise
from postprocess.compose import cutout
from postprocess.edges import refine
from postprocess.encode import encode
from postprocess.foreground import decontaminate
from postprocess.types import RGB, RGBA, Alpha
from tests.postprocess.drawn import as_predicted, ellipse, natural

T = TypeVar("T")
SIZES = {"1.2 MP": (960, 1280), "12 MP": (3000, 4000)}
BAR = {"1.2 MP": 0.05, "12 MP": 0.25}
"""Seconds of CPU that our whole chain may take."""


class Stopwatch:
    """CPU milliseconds of named parts, the median of several runs each."""

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.parts: dict[str, float] = {}

    def time(self, part: str, work: Callable[[], T]) -> T:
        """What `work` returns."""
        taken = []
        for _ in range(self.runs):
            start = time.process_time()
            result = work()
            taken.append(time.process_time() - start)
        self.parts[part] = statistics.median(taken) * 1000
        return result


def photo(height: int, width: int) -> bytes:
    """A JPEG of quality 90: 1/f texture behind and in an ellipse with an edge of 1 % of the height."""
    alpha = ellipse(height, width, height / 100)[..., None]
    front, back = (
        natural(height, width, seed, mean, 30) for seed, mean in ((1, (170, 110, 90)), (2, (80, 120, 140)))
    )
    out = io.BytesIO()
    Image.fromarray(np.rint(alpha * front + (1 - alpha) * back).astype(np.uint8)).save(
        out, "JPEG", quality=90
    )
    return out.getvalue()


def ours(data: bytes, matte: Alpha, watch: Stopwatch) -> tuple[RGB, Alpha, RGBA]:
    """Our chain: the picture, its alpha, and the cutout as a reader of the file sees it."""
    limits = DecodeLimits()
    rgb = watch.time("decode", lambda: decode(data, limits)).rgb
    watch.time("resize", lambda: _small(rgb))
    alpha = watch.time("refine", lambda: refine(matte, rgb))
    clean = watch.time("decontaminate", lambda: decontaminate(rgb, alpha))
    rgba = watch.time("compose", lambda: cutout(clean, alpha))
    file = watch.time("encode", lambda: encode(rgba, "png"))
    read = np.asarray(Image.open(io.BytesIO(file.body)))
    if not np.array_equal(read, rgba):
        raise SystemExit("the PNG does not hold the cutout's pixels")
    return rgb, alpha, rgba


def straightforward(data: bytes, matte: Alpha, watch: Stopwatch) -> tuple[RGB, Alpha, RGBA]:
    """The same stages as one would first write them; the matte is merely enlarged, with LANCZOS."""
    rgb = watch.time("decode", lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    watch.time(
        "resize", lambda: np.asarray(Image.fromarray(rgb).resize((320, 320), Image.Resampling.LANCZOS))
    )
    size = (rgb.shape[1], rgb.shape[0])
    grey = Image.fromarray(quantise(matte))
    alpha = watch.time(
        "refine",
        lambda: np.asarray(grey.resize(size, Image.Resampling.LANCZOS), np.float32) / np.float32(255),
    )
    clean = watch.time("decontaminate", lambda: blur_fusion(rgb, alpha))
    rgba = watch.time("compose", lambda: naive_cutout(clean, alpha))
    watch.time("encode", lambda: Image.fromarray(rgba).save(io.BytesIO(), "PNG"))
    return rgb, alpha, rgba


def blur_fusion(rgb: RGB, alpha: Alpha) -> RGB:
    """Forte 2021 as published, at full resolution: windows of 90 and 6 px."""
    seen = rgb.astype(np.float32)
    front = back = seen
    share = alpha[..., None]
    for window in ((90, 90), (6, 6)):
        weight = cv2.blur(alpha, window)[..., None]
        mean_front = cv2.blur(front * share, window) / (weight + 1e-5)
        back = cv2.blur(back * (1 - share), window) / (1 - weight + 1e-5)
        front = np.clip(mean_front + share * (seen - share * mean_front - (1 - share) * back), 0, 255)
    return np.where(share == 1, rgb, np.rint(front)).astype(np.uint8)


def naive_cutout(rgb: RGB, alpha: Alpha) -> RGBA:
    """What compose.cutout promises, in two lines."""
    rgba = np.dstack([rgb, np.rint(alpha * 255).astype(np.uint8)])
    rgba[rgba[..., 3] == 0] = 0
    return rgba


def _small(rgb: RGB) -> torch.Tensor:
    picture = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(picture, (320, 320), mode="bilinear", antialias=True)


def main() -> None:
    """Prints both tables; exits with 1 where the bar is missed."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    missed = False
    for name, (height, width) in SIZES.items():
        data, matte = photo(height, width), as_predicted(ellipse(height, width, height / 100))
        fast, slow = Stopwatch(runs=9), Stopwatch(runs=3)
        rgb, alpha, rgba = ours(data, matte, fast)
        plain_rgb, plain_alpha, _ = straightforward(data, matte, slow)
        print(f"\n{name} ({width}x{height}, {len(data) / 1e6:.2f} MB)   CPU ms: ours   plain   ratio")  # noqa: T201
        for part, spent in fast.parts.items():
            print(f"  {part:34s} {spent:7.1f} {slow.parts[part]:7.1f} {slow.parts[part] / spent:7.1f}")  # noqa: T201
        total, plain = sum(fast.parts.values()), sum(slow.parts.values())
        print(f"  {'all':34s} {total:7.1f} {plain:7.1f} {plain / total:7.1f}")  # noqa: T201
        same = np.array_equal(rgba, naive_cutout(decontaminate(rgb, alpha), alpha))
        apart = float(np.abs(alpha - plain_alpha).mean())
        decoded = int(np.abs(rgb.astype(np.int16) - plain_rgb).max())
        print(f"  cutout equal to the two-line one: {same}; PNG exact; decoded pixels within {decoded}; ")  # noqa: T201
        print(f"  alpha differs from LANCZOS's by {apart:.4f} on average (refinement is meant to)")  # noqa: T201
        missed |= not same or total / 1000 > BAR.get(name, np.inf)
    raise SystemExit(int(missed))


if __name__ == "__main__":
    main()
