"""Pictures of the screen, and what is said when there is none."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from api.paste.screen import GrabbedScreen, ScreenFile
from api.paste.types import PasteFailed


def test_a_screenshot_is_rgb() -> None:
    grabbed = GrabbedScreen(lambda: Image.new("RGBA", (30, 20), (1, 2, 3, 255))).grab()
    assert grabbed.shape == (20, 30, 3)
    assert grabbed[0, 0].tolist() == [1, 2, 3]


def test_without_a_screen() -> None:
    def fail() -> Image.Image:
        raise OSError("X connection failed")

    with pytest.raises(PasteFailed, match="cannot be photographed here: X connection failed"):
        GrabbedScreen(fail).grab()


def test_a_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "screen.png"
    screen = ScreenFile(path)
    for level in (10, 200):
        cv2.imwrite(str(path), np.full((20, 30, 3), (0, 0, level), np.uint8))
        assert screen.grab()[0, 0].tolist() == [level, 0, 0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"", "not a picture", id="empty"),
        pytest.param(b"text", "not a picture", id="text"),
    ],
)
def test_a_file_that_is_no_picture(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "screen.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PasteFailed, match=reason):
        ScreenFile(path).grab()
