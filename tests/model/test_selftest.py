"""The picture that engines prove themselves on."""

import numpy as np
import pytest

from model import selftest


@pytest.mark.parametrize(
    ("size", "probe"),
    [
        pytest.param((320, 320), (320, 320), id="small: its own size"),
        pytest.param((64, 96), (64, 96), id="smaller"),
        pytest.param((1024, 1024), (512, 512), id="large"),
        pytest.param((2048, 2048), (512, 512), id="larger"),
        pytest.param((1440, 2560), (288, 512), id="wide"),
        pytest.param((32, 4096), (32, 512), id="a strip"),
    ],
)
def test_probes_are_small_and_fit_the_network(size: tuple[int, int], probe: tuple[int, int]) -> None:
    assert selftest.probe_size(size) == probe
    assert selftest.picture(probe).shape == (*probe, 3)


def test_no_two_channels_are_alike() -> None:
    red, green, blue = np.moveaxis(selftest.picture((64, 96)).astype(int), -1, 0)
    assert min(abs(a - b).mean() for a, b in ((red, green), (green, blue), (blue, red))) > 20
