"""The command `objectcut` as a process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from skimage.data import astronaut

COMMAND = Path(sys.executable).with_name("objectcut")
PROCESS_SECONDS = 200.0
"""Longest wait for one process: seconds of work, on a machine that may be busy with others."""

pytestmark = pytest.mark.timeout(2 * PROCESS_SECONDS)


def photo() -> bytes:
    """A JPEG."""
    rgb = astronaut()  # type: ignore[no-untyped-call]
    encoded, jpeg = cv2.imencode(".jpg", rgb[..., ::-1])
    assert encoded
    return jpeg.tobytes()


def run(*arguments: str, cwd: Path, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [COMMAND, *arguments], cwd=cwd, input=stdin, capture_output=True, timeout=PROCESS_SECONDS
    )


def test_version(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.decode().split() == ["objectcut", version("objectcut")]


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    heavy = ("torch", "cv2", "numpy", "fastapi", "uvicorn", "httpx", "PIL", "google.cloud.storage")
    code = f"import sys, api.cli; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PROCESS_SECONDS, check=True
    )
    assert found.stdout.strip() == "[]"


def test_cut_files_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "astronaut.jpg").write_bytes(photo())
    (tmp_path / "photos" / "broken.jpg").write_bytes(photo()[:3000])
    folder = run("cut", "photos", "-o", "out", cwd=tmp_path)
    assert folder.returncode == 1
    assert b"photos/broken.jpg: " in folder.stderr
    assert b"1 of 2 failed" in folder.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["astronaut.png"]
    cutout = cv2.imread(str(tmp_path / "out" / "astronaut.png"), cv2.IMREAD_UNCHANGED)
    assert cutout is not None
    assert cutout.shape == (512, 512, 4)

    piped = run("cut", "-", "--output", "alpha", cwd=tmp_path, stdin=photo())
    assert (piped.returncode, piped.stderr) == (0, b"")
    alpha = cv2.imdecode(np.frombuffer(piped.stdout, np.uint8), cv2.IMREAD_UNCHANGED)
    assert alpha is not None
    np.testing.assert_array_equal(alpha, cutout[..., 3])
    assert 0 < np.mean((alpha > 0) & (alpha < 255)) < 0.5
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "out"}, "and nothing is left behind"


def test_evaluate_a_model(tmp_path: Path) -> None:
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "images" / "astronaut.jpg").write_bytes(photo())
    mask = cv2.ellipse(np.zeros((512, 512), np.uint8), (230, 300), (150, 220), 0, 0, 360, 255, -1)
    cv2.imwrite(str(tmp_path / "masks" / "astronaut.png"), mask)

    common = ("evaluate", "--masks", "masks", "--predictions", "kept", "--per-image")
    predicted = run(*common, "--model", "lite", "--images", "images", "--json", "model.json", cwd=tmp_path)
    assert predicted.returncode == 0, predicted.stderr
    again = run(*common, "--json", "kept.json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    figures = [json.loads((tmp_path / name).read_bytes()) for name in ("model.json", "kept.json")]
    assert figures[0] == figures[1], "the predictions are kept, and are what was measured"
    assert set(figures[0]["images"]) == {"astronaut"}
    kept = cv2.imread(str(tmp_path / "kept" / "astronaut.png"), cv2.IMREAD_UNCHANGED)
    assert kept is not None
    assert kept.shape == (512, 512)


@contextmanager
def serving(cwd: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {"OBJECTCUT_DRAIN_DELAY": "0"}
    command = [str(COMMAND), "serve", "--data-dir", "data", *arguments]
    with subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def test_serve_until_sigterm(tmp_path: Path, unused_tcp_port: int) -> None:
    origin = f"http://127.0.0.1:{unused_tcp_port}"
    with serving(tmp_path, "--port", str(unused_tcp_port), "--anonymous") as child:
        until = time.monotonic() + PROCESS_SECONDS
        while True:
            assert child.poll() is None
            assert time.monotonic() < until
            try:
                if httpx.get(f"{origin}/readyz").status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        made = httpx.post(f"{origin}/v1/cutouts", files={"image": photo()}, timeout=60)
        assert made.status_code == httpx.codes.CREATED, made.text
        assert made.json()["url"].startswith(f"{origin}/v1/cutouts/")
        assert httpx.get(made.json()["url"]).headers["content-type"] == "image/png"
        child.send_signal(signal.SIGTERM)
        assert child.wait(PROCESS_SECONDS) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        pytest.param([], 2, b"OBJECTCUT_SECRET_ACCESS is not set", id="neither a key nor anonymous"),
        pytest.param(["--anonymous", "--port", "70000"], 2, b"--port", id="no port"),
    ],
)
def test_serve_refuses_to_start(tmp_path: Path, arguments: list[str], status: int, says: bytes) -> None:
    with serving(tmp_path, *arguments) as child:
        _, errors = child.communicate(timeout=PROCESS_SECONDS)
    assert child.returncode == status
    assert says in errors
