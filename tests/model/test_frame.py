"""The frame between service and worker: exact both ways, and nothing else is taken for one."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import frame
from model.frame import FrameError, Header

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
FRAME = frame.pack_picture(RGB, 1.5)


def altered(offset: int, layout: str, value: int) -> bytes:
    changed = bytearray(FRAME)
    struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def test_a_picture_arrives_as_it_was() -> None:
    header = Header.unpack(FRAME)
    assert header == Header(5, 7, 1.5)
    np.testing.assert_array_equal(header.picture(FRAME), RGB)


def test_a_picture_that_is_suspected() -> None:
    assert Header.unpack(frame.pack_picture(RGB, 1, alone=True)) == Header(5, 7, 1.0, alone=True)


def test_a_picture_that_is_not_contiguous() -> None:
    turned = RGB.transpose(1, 0, 2)
    packed = frame.pack_picture(turned, 1)
    np.testing.assert_array_equal(Header.unpack(packed).picture(packed), turned)


def test_an_alpha_arrives_to_a_level_of_65535() -> None:
    alpha = np.linspace(0, 1, 99, dtype=np.float32).reshape(9, 11)
    again = frame.unpack_alpha(frame.pack_alpha(alpha), (9, 11))
    assert again.dtype == np.float32
    assert (again[0, 0], again[-1, -1]) == (0, 1)
    assert np.abs(again - alpha).max() <= 0.6 / 65535


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [
        pytest.param(0.0, 0, id="none left"),
        pytest.param(0.0019, 1, id="rounded down"),
        pytest.param(1e9, 3_600_000, id="an hour at most"),
    ],
)
def test_the_time_that_is_left(seconds: float, milliseconds: int) -> None:
    assert Header.unpack(frame.pack_picture(RGB, seconds)).seconds == milliseconds / 1000


@pytest.mark.parametrize(
    ("bytes_", "told"),
    [
        pytest.param(b"", "0 bytes", id="nothing"),
        pytest.param(FRAME[:15], "15 bytes", id="part of a header"),
        pytest.param(b"\x89PNG" + FRAME[4:], "not a frame", id="another magic"),
        pytest.param(altered(4, "<B", 2), "version 2", id="another version"),
        pytest.param(altered(5, "<B", 2), "kind 2", id="an alpha"),
        pytest.param(altered(6, "<H", 0), "out of range", id="no height"),
        pytest.param(altered(8, "<H", 2561), "out of range", id="too wide"),
        pytest.param(altered(8, "<H", 8), "bytes for 8 x 5", id="wider than its bytes"),
        pytest.param(altered(10, "<H", 2), "not a frame", id="neither alone nor not"),
        pytest.param(altered(12, "<I", 3_600_001), "more than any request", id="more than an hour"),
        pytest.param(FRAME + b"\0", "bytes for 7 x 5", id="a byte too many"),
        pytest.param(FRAME[:-1], "bytes for 7 x 5", id="a byte too few"),
    ],
)
def test_what_is_no_frame(bytes_: bytes, told: str) -> None:
    with pytest.raises(FrameError, match=told):
        Header.unpack(bytes_)


def test_an_alpha_of_another_size_is_refused() -> None:
    packed = frame.pack_alpha(np.zeros((4, 6), np.float32))
    with pytest.raises(FrameError, match="6 x 4 px for a picture of 4 x 6"):
        frame.unpack_alpha(packed, (6, 4))
    with pytest.raises(FrameError, match="kind 1"):
        frame.unpack_alpha(FRAME, (5, 7))


@given(st.binary(max_size=64) | st.builds(lambda tail: FRAME[:12] + tail, st.binary(max_size=120)))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    try:
        header = Header.unpack(data)
    except FrameError:
        return
    assert header.picture(data).size == len(data) - frame.HEADER_BYTES
