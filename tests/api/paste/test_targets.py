"""Where a cutout lands: the right pixels at the right place."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from api.paste.targets import Clipboard, Folder, canvas_of, subject_of
from api.paste.types import Paste, PasteFailed
from api.types import Picture
from postprocess.encode import encode
from postprocess.types import RGBA

SCREEN = (400, 300)
RED = (200, 20, 10)


def cutout(width: int, height: int, margin: int = 10) -> Picture:
    """A red rectangle of that size in a transparent, green surrounding."""
    rgb = np.full((height + 2 * margin, width + 2 * margin, 3), (0, 255, 0), np.uint8)
    alpha = np.zeros(rgb.shape[:2], np.float32)
    inside = (slice(margin, margin + height), slice(margin, margin + width))
    rgb[inside], alpha[inside] = RED, 1
    return Picture(rgb, alpha)


def paste(picture: Picture, x: float, y: float) -> Paste:
    return Paste(b"", picture, x, y, SCREEN)


def shown(canvas: RGBA) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what shows."""
    rows, columns = np.nonzero(canvas[..., 3])
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize(
    ("size", "at", "box"),
    [
        pytest.param((40, 20), (200, 150), (180, 140, 220, 160), id="as it is, in the middle"),
        pytest.param((40, 20), (0, 0), (0, 0, 20, 10), id="over the upper left corner"),
        pytest.param((40, 20), (399, 299), (379, 289, 400, 300), id="over the lower right corner"),
        pytest.param((800, 400), (200, 150), (100, 100, 300, 200), id="too wide: half the screen"),
        pytest.param((100, 600), (200, 150), (188, 75, 213, 225), id="too high: half the screen"),
    ],
)
def test_the_subjects_middle_is_where_the_phone_points(
    size: tuple[int, int], at: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    canvas = canvas_of(paste(cutout(*size), *at))
    assert canvas.shape == (300, 400, 4)
    assert shown(canvas) == pytest.approx(box, abs=1)
    colours = canvas[canvas[..., 3] == 255][:, :3].astype(int)
    assert np.abs(colours - RED).max() <= 1  # nothing green bleeds in when it is made smaller


def test_half_transparent_pixels_keep_their_alpha() -> None:
    picture = cutout(40, 20)
    assert picture.alpha is not None
    half = Picture(picture.rgb, picture.alpha * np.float32(0.5))
    assert subject_of(half, SCREEN)[10, 20].tolist() == [*RED, 128]


def test_an_opaque_picture_is_all_subject() -> None:
    assert subject_of(Picture(np.zeros((20, 30, 3), np.uint8)), SCREEN).shape == (20, 30, 4)


def test_nothing_was_cut_out() -> None:
    with pytest.raises(PasteFailed, match="nothing was cut out"):
        canvas_of(paste(Picture(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.float32)), 1, 1))


async def test_every_paste_is_a_file_of_its_own(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "pasted")
    names = [await folder.paste(paste(cutout(40, 20), 200, 150)) for _ in range(2)]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "pasted").iterdir())
    written = cv2.imread(str(tmp_path / "pasted" / names[0]), cv2.IMREAD_UNCHANGED)
    assert written is not None
    assert written.shape == (300, 400, 4)


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PasteFailed, match="file"):
        await Folder(tmp_path / "file").paste(paste(cutout(4, 4), 1, 1))


COPY = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open(sys.argv[1], 'wb'))"


async def test_the_clipboards_tool_is_given_the_subject(tmp_path: Path) -> None:
    wish = paste(cutout(40, 20), 1, 1)
    expected = encode(subject_of(wish.picture, SCREEN), "png").body
    by_input, by_file = tmp_path / "input", tmp_path / "file"
    assert await Clipboard([sys.executable, "-c", COPY, str(by_input)]).paste(wish) == "clipboard"
    copy_file = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
    await Clipboard([sys.executable, "-c", copy_file, Clipboard.FILE, str(by_file)]).paste(wish)
    assert (by_input.read_bytes(), by_file.read_bytes()) == (expected, expected)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(["/nowhere/to-be-found"], "No such file", id="no such tool"),
        pytest.param([sys.executable, "-c", "raise SystemExit(3)"], "status 3", id="a tool that fails"),
    ],
)
async def test_a_clipboard_that_does_not_work(command: list[str], reason: str) -> None:
    with pytest.raises(PasteFailed, match=reason):
        await Clipboard(command).paste(paste(cutout(4, 4), 1, 1))


@pytest.mark.parametrize(
    ("platform", "environ", "tools", "first"),
    [
        pytest.param("linux", {"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, {"wl-copy", "xclip"}, "wl-copy"),
        pytest.param("linux", {"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, {"xclip"}, "xclip"),
        pytest.param("linux", {"DISPLAY": ":0"}, {"wl-copy"}, None),
        pytest.param("linux", {}, {"wl-copy", "xclip"}, None),
        pytest.param("darwin", {}, set(), "osascript"),
    ],
)
def test_the_tool_of_the_system(
    platform: str, environ: dict[str, str], tools: set[str], first: str | None
) -> None:
    found = Clipboard.find(environ, lambda name: name if name in tools else None, platform)
    assert (found.command[0] if found else None) == first
