"""JPEG on the device against libjpeg."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from model.training.jpeg import jpeg


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_it_is_what_libjpeg_does(quality: int) -> None:
    rgb: np.ndarray = skimage.data.astronaut()[40:240, 100:331]  # type: ignore[no-untyped-call]
    written = cv2.imencode(".jpg", rgb[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    decoded = cv2.imdecode(written, cv2.IMREAD_COLOR)
    assert decoded is not None
    theirs = decoded[..., ::-1].astype(np.float64)
    picture = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].double() / 255
    ours = jpeg(picture, torch.tensor([float(quality)])).mul(255)[0].permute(1, 2, 0).numpy()
    assert ours.shape == rgb.shape
    apart, lost = np.abs(ours - theirs).mean(), np.abs(theirs - rgb).mean()
    assert apart < 0.25 * lost + 0.4  # the latter for rounding to uint8, theirs alone


def test_each_picture_has_a_quality_of_its_own() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(1, 1, 32, 48).repeat(2, 3, 1, 1)  # grey: colour loses more by its size
    low, high = jpeg(pictures, torch.tensor([10.0, 95.0]))
    assert (low - pictures[0]).abs().mean() > 3 * (high - pictures[1]).abs().mean()
    torch.testing.assert_close(high, jpeg(pictures[1:], torch.tensor([95.0]))[0])
