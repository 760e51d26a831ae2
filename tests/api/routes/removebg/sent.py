"""What the tests of /v1.0 send, and what they make of the answers."""

import io
import zipfile
from typing import Any

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from tests.fakes import FakeFetcher, photo

PHOTO = photo()
URL = "https://img.example/a.jpg"
SKY_URL = "https://img.example/sky.png"
FILE: dict[str, Any] = {"image_file": ("a.jpg", PHOTO, "image/jpeg")}
JSON = {"Accept": "application/json"}
BLUE = cv2.imencode(".png", np.full((9, 9, 3), (255, 0, 0), np.uint8))[1].tobytes()


def web() -> FakeFetcher:
    return FakeFetcher({URL: PHOTO, SKY_URL: BLUE})


def read(data: bytes) -> NDArray[np.uint8]:
    """As OpenCV has it: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image, np.uint8)


def pixels(answer: httpx.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    return read(answer.content)


def unzipped(data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colour, BGR, and alpha of a ZIP, which is as the contract has it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == ["color.jpg", "alpha.png"]
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
        colour, alpha = archive.read("color.jpg"), archive.read("alpha.png")
    assert colour.startswith(b"\xff\xd8\xff")
    # IHDR: bit depth 8, colour type 0 (grey), or the Go client panics.
    assert (alpha[24], alpha[25]) == (8, 0)
    return read(colour), read(alpha)


def only_error(answer: httpx.Response) -> dict[str, str]:
    """The one entry of a failure that is exactly as the contract has it."""
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["errors"]
    (error,) = body["errors"]
    assert list(error) == ["title", "code", "detail"]
    assert all(isinstance(text, str) and text for text in error.values())
    return dict(error)
