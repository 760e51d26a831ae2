"""Pictures at a network's size without torch, against torch."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from model.preprocess import resize
from model.resample import resampled


@pytest.mark.parametrize(
    ("side", "size", "most", "mean"),
    [
        pytest.param(512, (320, 320), 1, 0.01, id="smaller"),
        pytest.param(512, (180, 240), 1, 0.01, id="another shape"),
        pytest.param(512, (1024, 1024), 1, 0.01, id="larger"),
        pytest.param(512, (512, 512), 0, 0.0, id="the same"),
        pytest.param(960, (320, 320), 14, 0.6, id="halved first, at the least"),
        pytest.param(2000, (320, 320), 10, 0.5, id="halved twice"),
        pytest.param(2001, (320, 160), 8, 0.5, id="halved twice, odd"),
        pytest.param(512, (64, 48), 12, 1.0, id="to a stamp"),
    ],
)
def test_it_is_what_torch_makes(side: int, size: tuple[int, int], most: int, mean: float) -> None:
    photo = np.asarray(cv2.resize(astronaut(), (side, side)), np.uint8)  # type: ignore[no-untyped-call]
    small = resampled(photo, size)
    assert small.shape == (*size, 3)
    assert small.dtype == np.uint8
    difference = np.abs(small.astype(int) - resize(photo, size))
    assert difference.max() <= most
    assert difference.mean() <= mean


def test_the_picture_stays_as_it_is() -> None:
    photo = astronaut()  # type: ignore[no-untyped-call]
    before = photo.copy()
    resampled(photo, (64, 64))
    assert np.array_equal(photo, before)
