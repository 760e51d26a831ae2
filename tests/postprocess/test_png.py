import io
import zlib
from types import ModuleType

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from postprocess.png import deflate, encode_png
from tests.postprocess.drawn import natural

COMPRESSORS = [pytest.param(deflate, id="default"), pytest.param(zlib, id="zlib")]


def chunks(body: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and data of each chunk; checks every checksum."""
    found, at = [], 8
    while at < len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        kind, data = body[at + 4 : at + 8], body[at + 8 : at + 8 + length]
        assert int.from_bytes(body[at + 8 + length : at + 12 + length], "big") == zlib.crc32(kind + data)
        found.append((kind, data))
        at += 12 + length
    return found


def read_by_cv2(body: bytes) -> NDArray[np.uint8]:
    pixels = np.asarray(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


@pytest.mark.parametrize("compressor", COMPRESSORS)
@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["grey", "rgb", "rgba"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (613, 1021)])
def test_exact_for_two_readers(
    compressor: ModuleType, channels: tuple[int, ...], shape: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, *channels), dtype=np.uint8)
    body = encode_png(pixels, compressor)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), pixels)
    assert np.array_equal(read_by_cv2(body), pixels)
    kinds = [kind for kind, _ in chunks(body)]
    assert kinds[0] == b"IHDR"
    assert kinds[-1] == b"IEND"
    assert (b"sRGB" in kinds) == bool(channels)
    assert set(kinds) <= {b"IHDR", b"sRGB", b"IDAT", b"IEND"}


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([3, 4]))))
def test_exact_for_any_pixels(pixels: NDArray[np.uint8]) -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_a_view_that_is_not_contiguous() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    body = encode_png(pixels[::2, 5:20, 3])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), pixels[::2, 5:20, 3])


def test_not_larger_than_pillows_by_much() -> None:
    pixels = natural(400, 600, 1, (120, 110, 100), 40).astype(np.uint8)
    theirs = io.BytesIO()
    Image.fromarray(pixels).save(theirs, "PNG")
    assert len(encode_png(pixels)) < 1.2 * len(theirs.getvalue())
