import numpy as np
import pytest

from postprocess.grid import factor_for, grown, halved, local_means, patches, reduce, repeat

SHAPES = [
    pytest.param((16, 24), 4, id="multiple"),
    pytest.param((17, 23), 4, id="odd"),
    pytest.param((5, 1), 8, id="smaller than a cell"),
    pytest.param((9, 7), 1, id="no reduction"),
]


@pytest.mark.parametrize(
    ("shape", "longest", "factor"), [((3000, 4000, 3), 640, 8), ((640, 1), 640, 1), ((641, 1), 640, 2)]
)
def test_factor_for(shape: tuple[int, ...], longest: int, factor: int) -> None:
    assert factor_for(shape, longest) == factor


@pytest.mark.parametrize(("shape", "factor"), SHAPES)
def test_reduce_is_the_mean_of_each_cell(shape: tuple[int, int], factor: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    padding = [(0, -shape[0] % factor), (0, -shape[1] % factor), (0, 0)]
    padded = np.pad(pixels, padding, mode="edge").astype(np.float64)
    rows, columns = padded.shape[0] // factor, padded.shape[1] // factor
    means = padded.reshape(rows, factor, columns, factor, 3).mean(axis=(1, 3))
    # Each halving rounds once.
    assert np.abs(reduce(pixels, factor) - means).max() <= 0.5 * max(1, factor.bit_length() - 1) + 0.01


@pytest.mark.parametrize(("shape", "factor"), SHAPES)
def test_patches_cover_every_pixel_of_the_band_and_no_other(shape: tuple[int, int], factor: int) -> None:
    rng = np.random.default_rng(1)
    band = rng.random((-(-shape[0] // factor), -(-shape[1] // factor))) < 0.6
    band[-1, -1] = True  # the corner that may reach beyond the picture
    written = np.zeros((*shape, 2), np.float32)
    truth = rng.random((*shape, 2)).astype(np.float32)
    for patch in patches(band, factor, shape):
        patch.scatter(patch.gather(truth), written)
    covered = repeat(band.astype(np.float32), factor, shape) > 0
    assert np.array_equal(written, np.where(covered[..., None], truth, 0))


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_spread_is_exact_for_what_is_linear(factor: int) -> None:
    shape = (8 * factor, 6 * factor)
    centre = (np.arange(8) + 0.5) * factor
    cells = np.stack([np.repeat(centre[:, None], 6, 1), np.full((8, 6), 7.0)], -1).astype(np.float32)
    full = np.zeros((*shape, 2), np.float32)
    band = np.zeros((8, 6), np.bool_)
    band[1:-1, 1:-1] = True
    for patch in patches(band, factor, shape):
        patch.scatter(patch.spread(cells), full)
    inner = full[factor:-factor, factor:-factor]
    rows = np.arange(factor, 7 * factor) + 0.5
    assert np.allclose(inner[..., 0], rows[:, None], atol=1e-3)
    assert np.allclose(inner[..., 1], 7, atol=1e-4)


@pytest.mark.parametrize("radius", [1, 4])
def test_local_means(radius: int) -> None:
    plane = np.random.default_rng(2).random((13, 17)).astype(np.float32)
    padded = np.pad(plane, radius, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2)
    cells = np.array([0, 5, 16, 100, 220])
    means = local_means([plane, 2 * plane], radius, cells)
    expected = windows.mean((2, 3)).ravel()[cells]
    assert np.allclose(means, [expected, 2 * expected], atol=1e-5)


@pytest.mark.parametrize("radius", [8, 17, 40])
def test_wide_means_are_those_of_windows_of_about_that_size(radius: int) -> None:
    y, x = np.mgrid[0:121, 0:95].astype(np.float32)
    cells = np.array([0, 50 * 95 + 46, 61 * 95 + 47, 120 * 95 + 94])
    means = local_means([y, x], radius, cells)
    padded = [np.pad(plane, radius, mode="symmetric") for plane in (y, x)]
    side = (2 * radius + 1,) * 2
    windows = [np.lib.stride_tricks.sliding_window_view(plane, side).mean((2, 3)) for plane in padded]
    expected = [plane.ravel()[cells] for plane in windows]
    assert np.abs(means - expected).max() <= 0.1 * radius + 1


@pytest.mark.parametrize("shape", [(4, 6), (5, 6), (1, 1), (3, 1)])
def test_halved(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(4).random(shape).astype(np.float32)
    rows, columns = (side + side % 2 for side in shape)
    padded = np.pad(plane, [(0, rows - shape[0]), (0, columns - shape[1])], mode="edge")
    expected = padded.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))
    assert np.allclose(halved(plane), expected, atol=1e-6)
    assert halved(plane).dtype == np.float32


@pytest.mark.parametrize("reach", [1, 2])
def test_grown_reaches_diagonally_and_stops_at_the_border(reach: int) -> None:
    band = np.zeros((9, 8), np.bool_)
    band[1, 6] = True
    expected = np.zeros_like(band)
    expected[max(0, 1 - reach) : 2 + reach, 6 - reach :] = True
    assert np.array_equal(grown(band, reach), expected)
