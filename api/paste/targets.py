"""Where cutouts land: always a file, and the clipboard where the system has a tool for it."""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from api.paste.types import Paste, PasteFailed
from api.types import Picture
from postprocess.compose import with_alpha
from postprocess.crop import bounding_box, crop
from postprocess.encode import encode
from postprocess.types import RGBA

LARGEST_SHARE = 0.5
"""Of the screen's sides: what is larger is made smaller, or a phone's photo would cover it."""
_CLIPBOARD_SECONDS = 5.0


def subject_of(picture: Picture, screen: tuple[int, int]) -> RGBA:
    """(h, w, 4): what shows of a cutout, at most LARGEST_SHARE of the screen (width, height) a side."""
    alpha = np.ones(picture.rgb.shape[:2], np.float32) if picture.alpha is None else picture.alpha
    box = bounding_box(alpha)
    if box is None:
        raise PasteFailed("nothing was cut out")
    rgb, alpha = crop(picture.rgb, box), crop(alpha, box)
    scale = min(LARGEST_SHARE * screen[0] / box.width, LARGEST_SHARE * screen[1] / box.height)
    if scale >= 1:
        return with_alpha(rgb, alpha)
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    # Hidden pixels have no colour: they must not darken their neighbours' mean.
    weighted = cv2.resize(rgb * alpha[..., None], size, interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    colours = np.asarray(weighted) / np.maximum(small, np.float32(1e-6))[..., None]
    return with_alpha(np.rint(np.clip(colours, 0, 255)).astype(np.uint8), small)


def canvas_of(paste: Paste) -> RGBA:
    """(h, w, 4): as large as the screen and transparent, with the subject's middle at its place.

    What would lie beyond the screen is cut off.
    """
    subject = subject_of(paste.picture, paste.screen)
    width, height = paste.screen
    canvas = np.zeros((height, width, 4), np.uint8)
    left, top = round(paste.x - subject.shape[1] / 2), round(paste.y - subject.shape[0] / 2)
    right, bottom = min(width, left + subject.shape[1]), min(height, top + subject.shape[0])
    shown = subject[max(0, -top) : bottom - top, max(0, -left) : right - left]
    canvas[max(0, top) : bottom, max(0, left) : right] = shown
    return canvas


class Folder:
    """Writes a picture as large as the screen, to be laid over it: the cutout is where the phone pointed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    async def paste(self, paste: Paste) -> str:
        """See Target."""
        return await asyncio.to_thread(self._write, paste)

    def _write(self, paste: Paste) -> str:
        name = f"paste-{time.strftime('%Y%m%d-%H%M%S')}-{next(self._numbers)}.png"
        body = encode(canvas_of(paste), "png").body
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f".{name}.part"
            part.write_bytes(body)
            part.replace(self._folder / name)
        except OSError as exc:
            raise PasteFailed(f"{self._folder}: {exc.strerror}") from exc
        return name


class Clipboard:
    """Puts the cutout itself into the clipboard. command: reads a PNG from its input, or from FILE."""

    FILE = "FILE"

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command

    @classmethod
    def find(
        cls,
        environ: Mapping[str, str],
        which: Callable[[str], str | None] = shutil.which,
        platform: str = sys.platform,
    ) -> Self | None:
        """The clipboard of this system; None: it has none, or no tool that takes pictures."""
        if platform == "darwin":
            script = "on run argv\nset the clipboard to (read (item 1 of argv) as «class PNGf»)\nend run"
            return cls(["osascript", "-e", script, cls.FILE])
        if environ.get("WAYLAND_DISPLAY") and which("wl-copy"):
            return cls(["wl-copy", "--type", "image/png"])
        if environ.get("DISPLAY") and which("xclip"):
            return cls(["xclip", "-selection", "clipboard", "-t", "image/png", "-i"])
        return None

    async def paste(self, paste: Paste) -> str:
        """See Target."""
        subject = await asyncio.to_thread(lambda: encode(subject_of(paste.picture, paste.screen), "png"))
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(subject.body)
            file.seek(0)
            await self._run(
                [file.name if word == self.FILE else word for word in self.command], file.fileno()
            )
        return "clipboard"

    async def _run(self, command: list[str], stdin: int) -> None:
        # These tools stay behind to serve the clipboard: nobody must wait for the end of their output.
        nothing = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=stdin, stdout=nothing, stderr=nothing
            )
        except OSError as exc:
            raise PasteFailed(f"clipboard: {command[0]}: {exc.strerror}") from exc
        try:
            status = await asyncio.wait_for(process.wait(), _CLIPBOARD_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise PasteFailed(f"clipboard: {command[0]} does not come to an end") from None
        if status != 0:
            raise PasteFailed(f"clipboard: {command[0]} failed with status {status}")
