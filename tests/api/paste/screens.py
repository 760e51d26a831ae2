"""Screens with windows and text, and photographs of them, drawn by code."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.types import RGB

WIDTH, HEIGHT = 1600, 1000
WORDS = (
    *("File", "Edit", "View", "Insert", "Format", "Tools", "Window", "Help", "layer", "mask", "select"),
    *("invert", "the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "import", "export"),
    *("return", "while", "print", "value", "0123456789", "report", "budget", "spring", "meeting", "notes"),
)


@cache
def screen(seed: int) -> RGB:
    """(HEIGHT, WIDTH, 3): a desktop with a gradient, a bar, some windows full of text, icons. Read-only."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH] / max(WIDTH, HEIGHT)
    corners = rng.integers(20, 200, (3, 3))
    image = np.rint(
        corners[0]
        + (corners[1] - corners[0]) * x[..., None] * 0.8
        + (corners[2] - corners[0]) * y[..., None] * 0.5
    )
    desktop = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
    for _ in range(5):
        _window(desktop, rng)
    cv2.rectangle(desktop, (0, 0), (WIDTH, 28), (235, 235, 235), -1)
    _line(desktop, rng, 12, 20, WIDTH // 2, (20, 20, 20), 0.5)
    for left in range(40, WIDTH - 100, 90):
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        cv2.circle(desktop, (left + 25, HEIGHT - 40), int(rng.integers(14, 26)), colour, -1, cv2.LINE_AA)
        _line(desktop, rng, left, HEIGHT - 8, left + 60, (255, 255, 255), 0.35)
    desktop.flags.writeable = False  # it is cached
    return desktop


def _window(desktop: RGB, rng: np.random.Generator) -> None:
    left, top = int(rng.integers(0, WIDTH - 500)), int(rng.integers(30, HEIGHT - 400))
    right, bottom = left + int(rng.integers(350, 800)), top + int(rng.integers(250, 550))
    dark = rng.random() < 0.3
    paper, ink = ((40, 42, 46), (220, 220, 210)) if dark else ((250, 250, 250), (30, 30, 30))
    cv2.rectangle(desktop, (left, top), (right, bottom), paper, -1)
    cv2.rectangle(desktop, (left, top), (right, top + 24), (200, 203, 208), -1)
    cv2.rectangle(desktop, (left, top), (right, bottom), (120, 120, 120), 1)
    _line(desktop, rng, left + 60, top + 17, left + 260, (20, 20, 20), 0.45)
    for baseline in range(top + 48, min(bottom, HEIGHT) - 8, 22):
        end = left + int(rng.integers(120, max(121, right - left - 20)))
        _line(desktop, rng, left + 14, baseline, min(end, right - 40), ink, 0.5)


def _line(
    desktop: RGB,
    rng: np.random.Generator,
    left: int,
    baseline: int,
    right: int,
    ink: tuple[int, int, int],
    scale: float,
) -> None:
    while left < right:
        word = WORDS[int(rng.integers(len(WORDS)))]
        cv2.putText(desktop, word, (left, baseline), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
        left += cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0] + 8


@dataclass(frozen=True, slots=True)
class Shot:
    """view: the photograph. x, y: the px of the screen in its middle."""

    view: RGB
    x: float
    y: float


def shot(
    shown: RGB, seed: int, *, size: tuple[int, int] = (350, 700), blur: float = 1.0, noise: float = 6.0
) -> Shot:
    """A phone's view of part of the screen, from the side, blurred, noisy, in other light, as a JPEG.

    size: width, height of the view, px. blur: sigma, px of the view. noise: standard deviation of 255.
    """
    rng = np.random.default_rng(seed)
    width, height = size
    tall = HEIGHT * rng.uniform(0.55, 1.15)  # how much of the screen the view is high
    wide = tall * width / height
    turn = rng.uniform(-0.25, 0.25)
    middle = np.array([rng.uniform(0.25, 0.75) * WIDTH, rng.uniform(0.35, 0.65) * HEIGHT])
    corners = np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2
    corners *= 1 + rng.uniform(-0.15, 0.15, (4, 1))  # seen from the side
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    on_screen = (corners @ rotation.T + middle).astype(np.float32)
    in_view = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    to_view = cv2.getPerspectiveTransform(on_screen, in_view)
    # Supersampled, for a photo has no aliasing.
    double = np.diag([2.0, 2.0, 1.0]) @ to_view
    large = cv2.warpPerspective(
        shown, double, (2 * width, 2 * height), flags=cv2.INTER_AREA, borderValue=(70, 60, 55)
    )
    view = np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_AREA), np.float64)
    view = np.asarray(cv2.GaussianBlur(view, (0, 0), blur), np.float64)
    light = np.linspace(rng.uniform(0.7, 1), rng.uniform(0.7, 1), width)[None, :, None]
    view = view * light + rng.uniform(0, 25) + rng.normal(0, noise, view.shape)
    pixels = np.clip(view, 0, 255).astype(np.uint8)
    compressed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    decoded = np.asarray(cv2.imdecode(compressed, cv2.IMREAD_COLOR), np.uint8)
    x, y = cv2.perspectiveTransform(np.array([[[width / 2, height / 2]]]), np.linalg.inv(to_view))[0, 0]
    return Shot(decoded, float(x), float(y))


def room(seed: int, size: tuple[int, int] = (350, 700)) -> NDArray[np.uint8]:
    """A photograph without a screen: furniture of all sizes in soft light, with grain."""
    rng = np.random.default_rng(seed)
    width, height = size
    scene = np.full((height, width, 3), rng.integers(60, 200, 3), np.uint8)
    for _ in range(60):
        colour = tuple(int(level) for level in rng.integers(0, 256, 3))
        at = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(3, 90)), int(rng.integers(3, 90)))
        cv2.ellipse(scene, at, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
        to = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.line(scene, at, to, colour, int(rng.integers(1, 6)), cv2.LINE_AA)
    soft = cv2.GaussianBlur(scene, (0, 0), 1.0).astype(np.float32) + rng.normal(0, 6, scene.shape)
    return np.asarray(np.clip(soft, 0, 255), np.uint8)
