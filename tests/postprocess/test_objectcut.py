from pathlib import Path

import numpy as np
import pytest

from postprocess.objectcut import objectcut, sharpened

REFERENCE = Path(__file__).parents[1] / "data" / "objectcut_postprocess.npz"


def test_the_original_services_bytes() -> None:
    with np.load(REFERENCE) as stored:
        assert np.array_equal(sharpened(stored["probability"]), stored["mask320"])
        alpha = objectcut(stored["probability"], (500, 373))
        assert np.array_equal(np.rint(alpha * 255).astype(np.uint8), stored["mask"])


def test_stretches_to_the_full_range_first() -> None:
    with np.load(REFERENCE) as stored:
        # 1/4 and 1/2 are exact in binary: stretching undoes them to the last bit.
        faint = stored["probability"] * np.float32(0.25) + np.float32(0.5)
        apart = sharpened(faint) != stored["mask320"]
    assert apart.mean() < 1e-3


@pytest.mark.parametrize(("level", "expected"), [(0.0, 0), (0.01, 0), (0.5, 255)])
def test_a_flat_map_is_taken_as_it_is(level: float, expected: int) -> None:
    assert (sharpened(np.full((40, 40), level, np.float32)) == expected).all()
