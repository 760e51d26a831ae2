"""What a photo costs besides the network: `python -m tests.bench.host`.

CPU time of one thread, part by part, of our chain and of the straightforward one (Pillow and plain numpy
at full resolution), and how far apart their results are.
"""

import io
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from api.source.decode import decode
from api.source.limits import DecodeLimits
from model.resample import resampled
from postprocess.alpha import quantise
from postprocess.compose import cutout
from postprocess.edges import refine
from postprocess.encode import encode
from postprocess.foreground import decontaminate
from postprocess.types import RGB, RGBA, Alpha
from tests.bench.report import Verdict, at_most, conclude, say, table
from tests.postprocess.drawn import as_predicted, ellipse, natural

T = TypeVar("T")
SIZES = {"1.2 MP": (960, 1280), "12 MP": (3000, 4000)}
BAR = {"1.2 MP": 0.05, "12 MP": 0.30}
"""Seconds of CPU that our whole chain may take."""

NETWORK = (320, 320)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Result:
    """The picture, its alpha, the cutout, and the cutout as a reader of the file sees it."""

    rgb: RGB
    alpha: Alpha
    rgba: RGBA
    read: Pixels


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


def ours(data: bytes, matte: Alpha, watch: Stopwatch) -> Result:
    """Our chain."""
    limits = DecodeLimits()
    rgb = watch.time("decode", lambda: decode(data, limits)).rgb
    watch.time("resize", lambda: small(rgb))
    alpha = watch.time("refine", lambda: refine(matte, rgb))
    clean = watch.time("decontaminate", lambda: decontaminate(rgb, alpha))
    rgba = watch.time("compose", lambda: cutout(clean, alpha))
    file = watch.time("encode", lambda: encode(rgba, "png").body)
    return Result(rgb, alpha, rgba, _read(file))


def straightforward(data: bytes, matte: Alpha, watch: Stopwatch) -> Result:
    """The same stages as one would first write them; the matte is merely enlarged, with LANCZOS."""
    rgb = watch.time("decode", lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    watch.time("resize", lambda: np.asarray(Image.fromarray(rgb).resize(NETWORK, Image.Resampling.LANCZOS)))
    size = (rgb.shape[1], rgb.shape[0])
    grey = Image.fromarray(quantise(matte))
    alpha = watch.time(
        "refine",
        lambda: np.asarray(grey.resize(size, Image.Resampling.LANCZOS), np.float32) / np.float32(255),
    )
    clean = watch.time("decontaminate", lambda: blur_fusion(rgb, alpha))
    rgba = watch.time("compose", lambda: naive_cutout(clean, alpha))
    file = watch.time("encode", lambda: _png(rgba))
    return Result(rgb, alpha, rgba, _read(file))


def _png(rgba: RGBA) -> bytes:
    out = io.BytesIO()
    Image.fromarray(rgba).save(out, "PNG")
    return out.getvalue()


def _read(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)))


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


def main() -> None:
    """Prints a table for each size, then what is equal to what, and every bar."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    verdicts: list[Verdict] = []
    for name, (height, width) in SIZES.items():
        data, matte = photo(height, width), as_predicted(ellipse(height, width, height / 100))
        fast, slow = Stopwatch(runs=9), Stopwatch(runs=3)
        own, plain = ours(data, matte, fast), straightforward(data, matte, slow)
        say(f"\n{name} ({width} x {height} px, JPEG of {len(data) / 1e6:.2f} MB), ms of CPU:\n")
        total, plain_total = sum(fast.parts.values()), sum(slow.parts.values())
        parts = [*((part, spent, slow.parts[part]) for part, spent in fast.parts.items())]
        say(
            table(
                ("part", "ours", "straightforward", "ratio"),
                [
                    (part, f"{quick:.1f}", f"{long:.1f}", f"{long / quick:.1f}")
                    for part, quick, long in (*parts, ("all", total, plain_total))
                ],
            )
        )
        apart = float(np.abs(own.alpha - plain.alpha).mean())
        say(f"\nThe refined alpha differs from LANCZOS's by {apart:.4f} on average: it is meant to.")
        verdicts.append(at_most(f"{name}, seconds of CPU", total / 1000, BAR[name], "{:.3f}"))
        verdicts += [at_most(f"{name}, {what}", *measured) for what, measured in compare(own, plain).items()]
    conclude(verdicts)


def compare(own: Result, plain: Result) -> dict[str, tuple[float, float]]:
    """How far apart the parts' results are, given the same input, and how far they may be; levels of 255."""
    band = (own.alpha > 0.02) & (own.alpha < 0.98)
    clean = decontaminate(own.rgb, own.alpha)
    colour = np.abs(clean.astype(np.int16) - blur_fusion(own.rgb, own.alpha)).mean(-1) * own.alpha
    smaller = np.asarray(Image.fromarray(own.rgb).resize(NETWORK, Image.Resampling.BILINEAR))
    resized = float(np.abs(small(own.rgb).astype(np.int16) - smaller).mean())
    return {
        "decoded pixels from Pillow's, at most": (_furthest(own.rgb, plain.rgb), 2),
        "resized pixels from Pillow's bilinear ones, mean": (resized, 1.5),
        "edge colours from full resolution's, mean as they show": (float(colour[band].mean()), 4),
        "the cutout from the two-line one, at most": (_furthest(own.rgba, naive_cutout(clean, own.alpha)), 0),
        "the PNG read back from the cutout, at most": (_furthest(own.read, own.rgba), 0),
    }


def _furthest(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).max())


def small(rgb: RGB) -> Pixels:
    """What the network is given: (320, 320, 3)."""
    return resampled(rgb, NETWORK)


if __name__ == "__main__":
    main()
