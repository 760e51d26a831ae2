"""`make demo`: a photo in, a cutout's URL out."""

import subprocess
import sys
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from deploy.demo import DemoFailed, shares

ROOT = Path(__file__).parents[2]
SECONDS = 200.0
"""Longest wait for work of a few seconds, on a machine that may be busy with others."""


@pytest.mark.timeout(2 * SECONDS)
def test_the_demo_prints_a_url_saves_a_soft_cutout_and_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.demo", "--output", str(tmp_path / "output")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 0, ended.stderr
    said = dict(line.split(": ", 1) for line in ended.stdout.splitlines() if ": " in line)
    assert said["url"].startswith("http://127.0.0.1:")
    edge, subject = shares(Path(said["saved"]).read_bytes())
    assert 0.001 < edge < 0.4
    assert 0.2 < subject < 0.8
    with pytest.raises(httpx.ConnectError):
        httpx.get(said["url"])


def disc(edge: float) -> NDArray[np.uint8]:
    """(64, 64, 4): a disc whose alpha rises over `edge` px."""
    y, x = np.mgrid[0:64, 0:64]
    alpha = np.clip((19.9 - np.hypot(x - 32, y - 32)) / edge + 0.5, 0, 1) * 255
    return np.dstack([np.full((64, 64, 3), 90), alpha]).astype(np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def test_shares_of_a_soft_disc() -> None:
    edge, subject = shares(png(disc(4)))
    assert subject == pytest.approx(np.pi * 19.9**2 / 64**2, rel=0.02)
    assert edge == pytest.approx(2 * np.pi * 19.9 * 4 / 64**2, rel=0.1)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(png(disc(1e-9)), "not soft", id="a hard edge"),
        pytest.param(png(disc(4)[..., :3]), "transparency", id="opaque"),
        pytest.param(b"not a picture", "transparency", id="no picture"),
    ],
)
def test_what_is_no_soft_cutout_fails_the_demo(body: bytes, says: str) -> None:
    with pytest.raises(DemoFailed, match=says):
        shares(body)
