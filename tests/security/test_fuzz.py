"""Whatever the bytes are, the decoder answers with a picture or with one of our own errors."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.errors import CorruptImage, ImageTooLarge, UnsupportedImage
from api.source.decode import DecodeLimits, decode
from tests.api.source.files import deep_png, encode, exif, scene, wide_profile

LIMITS = DecodeLimits(max_pixels=1_000_000)
SCENE = scene(40, 56)
RGBA = np.dstack([SCENE, SCENE[..., 0]])
SEEDS = [
    encode(SCENE, "JPEG"),
    encode(SCENE, "JPEG", progressive=True, exif=exif(6), icc_profile=wide_profile()),
    encode(SCENE[..., 0], "JPEG", subsampling=0),
    encode(RGBA, "PNG", exif=exif(5)),
    encode(SCENE, "PNG", icc_profile=wide_profile()),
    deep_png(SCENE.astype(np.uint16) * 257, 2),
    encode(RGBA, "WEBP", exif=exif(3)),
    encode(SCENE, "WEBP", lossless=True, icc_profile=wide_profile()),
]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "copy", "cut"]),
        st.floats(0, 1),
        st.binary(min_size=1, max_size=8),
        st.integers(1, 64),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, edits: list[tuple[str, float, bytes, int]]) -> bytes:
    for kind, place, text, count in edits:
        at = int(place * len(data))
        match kind:
            case "set":
                data = data[:at] + text + data[at + len(text) :]
            case "insert":
                data = data[:at] + text + data[at:]
            case "delete":
                data = data[:at] + data[at + count :]
            case "copy":
                data = data[:at] + data[at : at + count] * 2 + data[at + count :]
            case "cut":
                data = data[: max(at, 12)]
    return data


def is_picture_or_our_error(data: bytes) -> None:
    try:
        picture = decode(data, LIMITS)
    except (CorruptImage, ImageTooLarge, UnsupportedImage):
        return
    assert picture.rgb.ndim == 3
    assert picture.rgb.dtype == np.uint8
    assert picture.rgb.shape[0] * picture.rgb.shape[1] <= LIMITS.max_pixels
    if picture.alpha is not None:
        assert picture.alpha.shape == picture.rgb.shape[:2]
        assert 0 <= picture.alpha.min() <= picture.alpha.max() <= 1


@given(seed=st.sampled_from(SEEDS), edits=EDITS)
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_mutated_files(seed: bytes, edits: list[tuple[str, float, bytes, int]]) -> None:
    is_picture_or_our_error(mutated(seed, edits))


@given(head=st.sampled_from([seed[:40] for seed in SEEDS]), tail=st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_noise_behind_a_good_start(head: bytes, tail: bytes) -> None:
    is_picture_or_our_error(head + tail)


@pytest.mark.slow
@given(seed=st.sampled_from(SEEDS), edits=EDITS)
@settings(max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.timeout(1_800)
def test_many_mutated_files(seed: bytes, edits: list[tuple[str, float, bytes, int]]) -> None:
    is_picture_or_our_error(mutated(seed, edits))
