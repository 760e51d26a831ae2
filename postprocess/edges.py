"""Edge-aware enlargement: a matte from the network's resolution to the picture's, along its own edges.

Where a matte is undecided, the colours on its two sides decide. Around every cell of a coarse grid the
subject and the background are two clouds of colours with means F and B and a common covariance S
(Fisher's linear discriminant). w = S⁻¹(F - B) is the direction that tells them apart best, and

    alpha = (w·(I - B) + p alpha₀) / (D + p),   D = w·(F - B),   p = CLEAR² / (D e)

is 0 at B and 1 at F where the clouds lie well apart (D, squared, in standard deviations), and the network's
own alpha₀ where they do not: two sides of any texture differ a little, which says nothing. e, in [0, 1], is
how much of the window the network is sure of: where it doubts a whole region there is nothing to learn from.
F, B and S are those of cells in pairs, means of two by two: that takes a quarter of the time, and the clouds
are the clearer for the noise that is averaged away.

A guided filter (He & Sun 2015, "Fast Guided Filter") then writes the result as a local linear function of
colour, a·I + b, which is evaluated at full resolution. A guided filter alone is the same discriminant shrunk
towards the local mean, so that it can sharpen a blurred matte only in part.
"""

from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.grid import Floats, factor_for, grown, halved, local_means, patches, reduce, repeat, weights
from postprocess.types import RGB, Alpha, Mask

LEVELS = (0.03, 0.97)
_SURE = (0.06, 0.94)  # beyond these the network is believed: colours would only add noise
_LONGEST = 1024  # cells: what the grid may cost
_RADII = (0.012, 0.004)
"""Of the windows, pairs of cells, share of the grid's longer side; wide first, to mend misplaced edges."""
_GUIDED_RADIUS = 2  # cells
_FAINT = np.float32(1e-4)  # weight of the mixed cells in a window without any pure ones
_CLEAR = 8.0  # squared distance, in standard deviations, from which the colours outweigh the network
_NOISE = 3e-4  # variance of a photo's noise, colours in [0, 1]: about 4 of 255
_SMOOTH = 1e-4  # the guided filter's epsilon
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""Of channels: rr, rg, rb, gg, gb, bb, the upper half of a symmetric matrix."""


def levels(alpha: Floats, ends: tuple[float, float] = LEVELS) -> Alpha:
    """Stretches `ends` to [0, 1]: no veil of 1/255 over an empty background, no pinholes in the subject."""
    low, high = ends
    stretched = np.clip((alpha - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return stretched.astype(np.float32, copy=False)


def refine(matte: Alpha, rgb: RGB) -> Alpha:
    """The matte of the whole picture, (h, w) in [0, 1], at the picture's resolution: (H, W).

    Only the pixels of the matte's soft or hard edges are decided anew; the rest is exactly 0 or 1.
    """
    shape = (rgb.shape[0], rgb.shape[1])
    factor = factor_for(shape, min(2 * max(matte.shape), _LONGEST))
    guide = [plane.astype(np.float32) * np.float32(1 / 255) for plane in cv2.split(reduce(rgb, factor))]
    prior = _on_grid(matte, guide[0].shape, shape, factor)
    band = _undecided(prior)
    if not band.any():
        return repeat(prior, factor, shape)
    radii = [max(1, round(share * max(band.shape))) for share in _RADII]
    rows, columns = _around(band, max(*(2 * radius for radius in radii), 3 * _GUIDED_RADIUS))
    guide, alpha, band = [plane[rows, columns] for plane in guide], prior[rows, columns], band[rows, columns]
    coefficients = _guided(guide, _discriminate(guide, alpha, band, radii), band)
    del guide, alpha  # as large together as the result
    full = repeat(prior, factor, shape)
    for patch in patches(band, factor, shape, (rows.start, columns.start)):
        linear = patch.spread(coefficients)
        colours = patch.gather(rgb)
        estimate = np.einsum("knc,knc->kn", linear[..., :3], colours) * np.float32(1 / 255) + linear[..., 3]
        patch.scatter(levels(estimate), full)
    return full


def _on_grid(matte: Alpha, grid: tuple[int, ...], shape: tuple[int, int], factor: int) -> Floats:
    """The matte at the cells' centres. The last cells may reach beyond the picture, the matte does not."""
    if all(cells * factor == side for cells, side in zip(grid, shape, strict=True)):  # the quicker way
        fitting = cv2.resize(matte, (grid[1], grid[0]), interpolation=cv2.INTER_CUBIC)
        return levels(np.asarray(fitting, np.float32), _SURE)
    scale_y, scale_x = (factor * side / full for side, full in zip(matte.shape, shape, strict=True))
    to_matte = np.array([[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, scale_y / 2 - 0.5]])
    cubic = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    sampled = cv2.warpAffine(
        matte, to_matte, (grid[1], grid[0]), flags=cubic, borderMode=cv2.BORDER_REPLICATE
    )
    return levels(np.asarray(sampled, np.float32), _SURE)


def _undecided(alpha: Floats) -> Mask:
    """Cells that are neither 0 nor 1, and those on both sides of a hard edge."""
    window = np.ones((3, 3), np.uint8)
    hard = (cv2.dilate(alpha, window) == 1) & (cv2.erode(alpha, window) == 0)
    return np.asarray(hard | ((alpha > 0) & (alpha < 1)))


def _around(band: Mask, reach: int) -> tuple[slice, slice]:
    """The window of the grid that holds the band and all within `reach` cells of it: nothing else matters."""
    ends = ((int(where[0]), int(where[-1])) for where in (np.flatnonzero(band.any(axis)) for axis in (1, 0)))
    rows, columns = (slice(max(0, first - reach), last + reach + 1) for first, last in ends)
    return rows, columns


def _solve(matrix: list[Floats], vector: list[Floats], ridge: float) -> Floats:
    """x, (3, n), of (matrix + ridge)x = vector by Cramer's rule. matrix: six as in _PAIRS; vector: three."""
    # In grey pictures the matrix is all but singular: its determinant takes more digits than float32 has.
    rr, rg, rb, gg, gb, bb = np.stack(matrix).astype(np.float64)
    rr, gg, bb = rr + ridge, gg + ridge, bb + ridge
    c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c11, c12, c22 = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    x, y, z = vector
    solution = (c00 * x + c01 * y + c02 * z, c01 * x + c11 * y + c12 * z, c02 * x + c12 * y + c22 * z)
    return np.asarray(np.stack(solution) / (c00 * rr + c01 * rg + c02 * rb), np.float32)


def _discriminate(guide: list[Floats], alpha: Floats, band: Mask, radii: list[int]) -> Floats:
    """Rounds of the discriminant in the cells of `band`, each with the last one's alpha for alpha₀.

    Elsewhere alpha stays. radii: of each round's windows, pairs of cells: what is true of a window is
    computed for every second one.
    """
    cells = np.flatnonzero(band)
    pairs = halved(band.view(np.uint8) * np.uint8(255))
    known = np.flatnonzero(pairs)
    places = np.empty(pairs.shape, np.int32)
    places.put(known, np.arange(len(known)))
    row, column = np.divmod(cells, band.shape[1])
    near = places[row // 2, column // 2]
    small = [halved(plane) for plane in guide]
    products = [small[i] * small[j] for i, j in _PAIRS]
    colours = np.stack([plane.take(cells) for plane in guide])
    decided = alpha.copy()
    for radius in radii:
        direction, behind, distance, weight = (
            of_pairs.take(near, axis=-1)
            for of_pairs in _two_clouds(small, products, halved(decided), known, radius)
        )
        along = np.einsum("cn,cn->n", direction, colours) - behind
        prior = np.float32(_CLEAR**2) / (distance * np.minimum(weight, 1))
        decided.put(cells, np.clip((along + prior * decided.take(cells)) / (distance + prior), 0, 1))
    return decided


def _two_clouds(
    guide: list[Floats], products: list[Floats], alpha: Floats, cells: NDArray[np.intp], radius: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Of the windows around n cells: w, (3, n), w·B, D and the weight of all that counts.

    products: of the guide's planes, as in _PAIRS. cells: flat indices.
    """
    subject, behind = (weight + _FAINT for weight in weights(alpha))
    either = subject + behind
    planes = chain(
        (subject,),
        (plane * subject for plane in guide),
        (behind,),
        (plane * behind for plane in guide),
        (product * either for product in products),
    )
    means = local_means(planes, radius, cells)
    weight_f, weight_b = means[0], means[4]
    weight = weight_f + weight_b
    mean_f, mean_b = means[1:4] / weight_f, means[5:8] / weight_b
    covariance = [
        (product - weight_f * mean_f[i] * mean_f[j] - weight_b * mean_b[i] * mean_b[j]) / weight
        for product, (i, j) in zip(means[8:], _PAIRS, strict=True)
    ]
    apart = mean_f - mean_b
    direction = _solve(covariance, list(apart), _NOISE)
    distance = np.maximum(np.einsum("cn,cn->n", direction, apart), np.float32(1e-6))
    return direction, np.einsum("cn,cn->n", direction, mean_b), distance, weight


def _guided(guide: list[Floats], alpha: Floats, band: Mask) -> Floats:
    """(h, w, 4): a and b of alpha ≈ a·I + b, valid in `band`."""
    radius = _GUIDED_RADIUS
    # b is a mean of its neighbours', so these must be known as well.
    cells = np.flatnonzero(grown(band, radius))

    with_colour = (plane * alpha for plane in guide)
    products = (guide[i] * guide[j] for i, j in _PAIRS)
    mean_alpha, *means = local_means(chain((alpha, *guide), with_colour, products), radius, cells)
    mean_colour = means[:3]
    with_alpha = [both - mean * mean_alpha for both, mean in zip(means[3:6], mean_colour, strict=True)]
    covariance = [
        product - mean_colour[i] * mean_colour[j] for product, (i, j) in zip(means[6:], _PAIRS, strict=True)
    ]
    slope = _solve(covariance, with_alpha, _SMOOTH)
    linear = np.zeros((*alpha.shape, 4), np.float32)
    offset = mean_alpha - np.einsum("cn,cn->n", slope, np.stack(mean_colour))
    linear.reshape(-1, 4)[cells] = np.stack([*slope, offset], axis=-1)
    side = (2 * radius + 1, 2 * radius + 1)
    return np.asarray(cv2.blur(linear, side, dst=linear, borderType=cv2.BORDER_REFLECT), np.float32)
