"""What a phone's camera sees of a screen, as a film for Chromium's fake camera."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 960
"""Of what the camera gives, px."""


def film(view: NDArray[np.uint8], file: Path) -> str:
    """The flag for a camera that sees `view`, (HEIGHT, WIDTH, 3) uint8, all the time. file: written."""
    planes = cv2.cvtColor(view, cv2.COLOR_RGB2YUV_I420).tobytes()
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420\n".encode()
    file.write_bytes(head + 3 * (b"FRAME\n" + planes))
    return f"--use-file-for-fake-video-capture={file}"


def photographed(screen: NDArray[np.uint8], at: tuple[float, float]) -> NDArray[np.uint8]:
    """The view of a phone that points at a px of the screen: from the side, soft, in light of its own."""
    middle = np.array([WIDTH / 2, HEIGHT / 2])
    corners = np.array([[-420, -330], [430, -300], [400, 320], [-430, 310]], np.float32)
    seen = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    back = cv2.getPerspectiveTransform(seen, corners)
    pointed = cv2.perspectiveTransform(np.array([[middle]]), back)[0, 0]
    moved = np.asarray(corners - pointed + np.array(at), np.float32)
    view = cv2.warpPerspective(
        screen, cv2.getPerspectiveTransform(moved, seen), (WIDTH, HEIGHT), borderValue=(70, 60, 55)
    )
    soft = np.asarray(cv2.GaussianBlur(view, (0, 0), 1.2), np.float64)
    return np.asarray(np.clip(soft * 0.9 + 10, 0, 255), np.uint8)
