"""What the screen shows: a screenshot, or a picture that stands for it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageGrab

from api.paste.types import PasteFailed
from postprocess.types import RGB


class GrabbedScreen:
    """The main screen, by Pillow: Windows, macOS, X11, and Wayland with gnome-screenshot or grim."""

    def __init__(self, grab: Callable[[], Image.Image] = ImageGrab.grab) -> None:
        self._grab = grab

    def grab(self) -> RGB:
        """(h, w, 3). Raises PasteFailed."""
        try:
            return np.asarray(self._grab().convert("RGB"))
        except Exception as exc:  # every system has its own ways to fail
            raise PasteFailed(f"the screen cannot be photographed here: {exc}") from exc


class ScreenFile:
    """A picture file that somebody else keeps up to date, read anew for every paste."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def grab(self) -> RGB:
        """(h, w, 3). Raises PasteFailed."""
        try:
            data = np.fromfile(self._path, np.uint8)
        except OSError as exc:
            raise PasteFailed(f"{self._path}: {exc.strerror}") from exc
        bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if bgr is None:
            raise PasteFailed(f"{self._path}: not a picture")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
