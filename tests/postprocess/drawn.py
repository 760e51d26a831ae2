"""Pictures drawn by code whose matte and colours are known exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from postprocess.types import RGB, Alpha

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scene:
    """rgb = alpha * foreground + (1 - alpha) * background, rounded."""

    name: str
    rgb: RGB
    alpha: Alpha
    foreground: Floats


def natural(height: int, width: int, seed: int, mean: tuple[int, int, int], contrast: float) -> Floats:
    """(height, width, 3) in [0, 255] with the 1/f spectrum of photographs."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width))

    def field() -> NDArray[np.float64]:
        phase = np.exp(2j * np.pi * rng.random(amplitude.shape))
        values = np.fft.irfft2(amplitude * phase, s=(height, width))
        return np.asarray(values / values.std(), np.float64)

    light = field()
    planes = [contrast * (light + 0.4 * field()) + level for level in mean]
    return np.asarray(np.clip(np.stack(planes, -1), 0, 255), np.float32)


def disc(side: int, ramp: float) -> Alpha:
    """(side, side): a disc of radius 0.3 side whose edge is a linear ramp, px."""
    y, x = np.mgrid[:side, :side] + 0.5
    inwards = side * 0.3 - np.hypot(x - side / 2, y - side / 2)
    return np.asarray(np.clip(inwards / ramp + 0.5, 0, 1), np.float32)


def ellipse(height: int, width: int, ramp: float) -> Alpha:
    """An upright ellipse over 42 % of the picture, its edge about `ramp` px wide."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.hypot((x - width / 2) / (0.35 * width), (y - height / 2) / (0.38 * height))
    return np.asarray(np.clip((1 - radius) * (0.37 * min(height, width) / ramp) + 0.5, 0, 1), np.float32)


def blob(height: int, width: int) -> Alpha:
    """A wavy outline with an antialiased edge."""
    turn = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    radius = (0.27 + 0.05 * np.cos(2 * turn) + 0.03 * np.sin(3 * turn) + 0.02 * np.cos(7 * turn)) * height
    outline = np.stack([width / 2 + radius * np.cos(turn), height / 2 + radius * np.sin(turn)], -1)
    return _antialiased(height, width, [outline], None)


def hair(height: int, width: int) -> Alpha:
    """A head with strands of 1 to 3 px a thousand."""
    rng = np.random.default_rng(5)
    head = cv2.copyMakeBorder(
        disc(height, 1.0), 0, 0, (width - height) // 2, (width - height + 1) // 2, cv2.BORDER_CONSTANT
    )
    strands = []
    for _ in range(220):
        along = np.linspace(0, 1, 30)
        angle = rng.uniform(np.pi, 2 * np.pi) + rng.normal(0, 0.5) * along**2
        radius = (0.28 + rng.uniform(0.08, 0.16) * along) * height
        strands.append(
            np.stack([width / 2 + radius * np.cos(angle), height / 2 + radius * np.sin(angle)], -1)
        )
    return np.maximum(
        np.asarray(head, np.float32), _antialiased(height, width, strands, max(1, round(2 * height / 750)))
    ).astype(np.float32)


def _antialiased(height: int, width: int, lines: list[NDArray[np.float64]], thickness: int | None) -> Alpha:
    canvas = np.zeros((2 * height, 2 * width), np.uint8)
    points = [np.round(line * 2 * 16).astype(np.int32) for line in lines]
    if thickness is None:
        cv2.fillPoly(canvas, points, 255, cv2.LINE_AA, 4)
    else:
        cv2.polylines(canvas, points, False, 255, thickness, cv2.LINE_AA, 4)
    return np.asarray(
        cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), np.float32
    ) / np.float32(255)


def scenes(height: int, width: int) -> Iterator[Scene]:
    """Three edges (sharp, out of focus, hair) between texture, low contrast and photographs."""
    sharp = blob(height, width)
    soft = np.asarray(cv2.GaussianBlur(sharp, (0, 0), width / 400), np.float32)
    edges = {"sharp": sharp, "soft": soft, "hair": hair(height, width)}
    sides = {
        "texture": (
            natural(height, width, 3, (170, 110, 90), 25),
            natural(height, width, 4, (90, 130, 120), 25),
        ),
        "low-contrast": (
            natural(height, width, 5, (130, 120, 110), 15),
            natural(height, width, 6, (110, 120, 125), 15),
        ),
        "photos": (
            _filled(skimage.data.astronaut()[:250, 150:400], height, width),  # type: ignore[no-untyped-call]
            _filled(skimage.data.coffee(), height, width),  # type: ignore[no-untyped-call]
        ),
    }
    for edge, alpha in edges.items():
        for pair, (front, back) in sides.items():
            mixed = alpha[..., None] * front + (1 - alpha[..., None]) * back
            yield Scene(f"{edge}/{pair}", np.rint(mixed).astype(np.uint8), alpha, front)


def _filled(photo: RGB, height: int, width: int) -> Floats:
    scale = max(height / photo.shape[0], width / photo.shape[1])
    size = (int(np.ceil(photo.shape[1] * scale)), int(np.ceil(photo.shape[0] * scale)))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC), np.float32)[:height, :width]


def as_predicted(alpha: Alpha, side: int = 320, blur: float = 1.3, shift: float = 0.7) -> Alpha:
    """(side, side): what a network makes of it: small, blurred, and here and there off by `shift` px."""
    rng = np.random.default_rng(0)
    small = np.asarray(cv2.resize(alpha, (side, side), interpolation=cv2.INTER_AREA), np.float32)
    waves = cv2.resize(
        rng.normal(0, 1, (10, 10, 2)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    y, x = np.mgrid[:side, :side].astype(np.float32)
    moved = cv2.remap(
        small,
        x + np.float32(shift) * waves[..., 0],
        y + np.float32(shift) * waves[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.clip(cv2.GaussianBlur(moved, (0, 0), blur), 0, 1).astype(np.float32)
