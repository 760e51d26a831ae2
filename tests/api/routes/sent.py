"""What the tests of /v1 send, and the pixels that they get."""

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

from tests.fakes import FakeFetcher, photo

PHOTO = photo()
PAGES = {"https://img.example/a.jpg": PHOTO, "https://img.example/sky.png": photo(30, 50, ".png")}
URL = "https://img.example/a.jpg"
FILE = {"image": ("a.jpg", PHOTO, "image/jpeg")}
BYTES = {"Accept": "image/*"}


def web() -> FakeFetcher:
    return FakeFetcher(PAGES)


def pixels(answer: httpx.Response) -> NDArray[np.uint8]:
    assert answer.status_code == 200, answer.text
    image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image, np.uint8)
