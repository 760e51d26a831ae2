"""Edge-aware enlargement: a matte from the network's resolution to the picture's, along its own edges.

Where a matte is undecided, the colours on its two sides decide. Around every cell of a coarse grid the
subject and the background are two clouds of colours with means F and B and a common covariance S
(Fisher's linear discriminant). w = S⁻¹(F - B) is the direction that tells them apart best, and

    alpha = (w·(I - B) + p alpha₀) / (D + p),   D = w·(F - B),   p = CLEAR² / (D e)

is 0 at B and 1 at F where the clouds lie well apart (D, squared, in standard deviations), and the network's
own alpha₀ where they do not: two sides of any texture differ a little, which says nothing. e, in [0, 1], is
how much of the window the network is sure of: where it doubts a whole region there is nothing to learn from.

A guided filter (He & Sun 2015, "Fast Guided Filter") then writes the result as a local linear function of
colour, a·I + b, which is evaluated at full resolution. A guided filter alone is the same discriminant shrunk
towards the local mean, so that it can sharpen a blurred matte only in part.
"""

import cv2
import numpy as np

from postprocess.grid import Floats, factor_for, patches, reduce, repeat
from postprocess.types import RGB, Alpha, Mask

LEVELS = (0.03, 0.97)
_LONGEST = 1024  # cells: what the grid may cost
_GROW = 2  # cells that the band reaches beyond the matte's own soft edge: hair sticks out
_RADII = (
    0.024,
    0.008,
)  # of the windows, share of the grid's longer side; wide first, to mend misplaced edges
_GUIDED_RADIUS = 2  # cells
_STEEPNESS = 4  # power of alpha as a weight: undecided cells say little about either cloud
_CLEAR = 8.0  # squared distance, in standard deviations, from which the colours outweigh the network
_NOISE = 3e-4  # variance of a photo's noise, colours in [0, 1]: about 4 of 255
_SMOOTH = 1e-4  # the guided filter's epsilon


def levels(alpha: Floats) -> Alpha:
    """Stretches LEVELS to [0, 1]: no veil of 1/255 over an empty background, no pinholes in the subject."""
    low, high = LEVELS
    stretched = np.clip((alpha - low) * np.float32(1 / (high - low)), 0, 1)
    return stretched.astype(np.float32, copy=False)


def refine(matte: Alpha, rgb: RGB) -> Alpha:
    """The matte of the whole picture, (h, w) in [0, 1], at the picture's resolution: (H, W).

    Only pixels within reach of the matte's soft or hard edge are decided anew; the rest is exactly 0 or 1.
    """
    shape = (rgb.shape[0], rgb.shape[1])
    factor = factor_for(shape, min(2 * max(matte.shape), _LONGEST))
    guide = reduce(rgb, factor).astype(np.float32) / np.float32(255)
    prior = _on_grid(matte, guide.shape, shape, factor)
    band = _undecided(prior, _GROW)
    if not band.any():
        return repeat(prior, factor, shape)
    alpha = prior
    for share in _RADII:
        alpha = _discriminate(guide, alpha, band, max(2, round(share * max(band.shape))))
    coefficients = _guided(guide, alpha, band)
    full = repeat(prior, factor, shape)
    for patch in patches(band, factor, shape):
        linear = patch.spread(coefficients)
        colours = patch.gather(rgb)
        estimate = np.einsum("knc,knc->kn", linear[..., :3], colours) * np.float32(1 / 255) + linear[..., 3]
        patch.scatter(levels(estimate), full)
    return full


def _on_grid(matte: Alpha, grid: tuple[int, ...], shape: tuple[int, int], factor: int) -> Floats:
    """The matte at the cells' centres. The last cells may reach beyond the picture, the matte does not."""
    scale_y, scale_x = (factor * side / full for side, full in zip(matte.shape, shape, strict=True))
    to_matte = np.array([[scale_x, 0, scale_x / 2 - 0.5], [0, scale_y, scale_y / 2 - 0.5]])
    cubic = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    sampled = cv2.warpAffine(
        matte, to_matte, (grid[1], grid[0]), flags=cubic, borderMode=cv2.BORDER_REPLICATE
    )
    return levels(np.asarray(sampled, np.float32))


def _undecided(alpha: Floats, reach: int) -> Mask:
    """Cells with anything but all 0 or all 1 within `reach` cells: a hard edge counts too."""
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray((cv2.dilate(alpha, window) > 0) & (cv2.erode(alpha, window) < 1))


def _mean(cells: Floats, radius: int) -> Floats:
    """Means over (2 radius + 1)² cells, of every channel."""
    side = 2 * radius + 1
    return np.asarray(cv2.blur(cells, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _products(colour: Floats) -> Floats:
    """(..., 3) -> (..., 6): rr, rg, rb, gg, gb, bb, the upper half of a symmetric matrix."""
    return colour[..., (0, 0, 0, 1, 1, 2)] * colour[..., (0, 1, 2, 1, 2, 2)]


def _solve(matrix: Floats, vector: Floats, ridge: float) -> Floats:
    """x of (matrix + ridge)x = vector by Cramer's rule. matrix: (n, 6) upper halves, vector: (n, 3)."""
    rr, rg, rb, gg, gb, bb = np.moveaxis(matrix, -1, 0).astype(np.float64)
    rr, gg, bb = rr + ridge, gg + ridge, bb + ridge
    c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c11, c12, c22 = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    x, y, z = np.moveaxis(vector, -1, 0)
    solution = (c00 * x + c01 * y + c02 * z, c01 * x + c11 * y + c12 * z, c02 * x + c12 * y + c22 * z)
    determinant = c00 * rr + c01 * rg + c02 * rb
    return np.asarray(np.stack(solution, axis=-1) / determinant[:, None], np.float32)


def _discriminate(guide: Floats, alpha: Floats, band: Mask, radius: int) -> Floats:
    """One round of the discriminant on the grid, with `alpha` for alpha₀; outside `band` it stays."""
    subject = alpha**_STEEPNESS + np.float32(1e-4)
    behind = (1 - alpha) ** _STEEPNESS + np.float32(1e-4)
    moments = np.dstack(
        [
            subject,
            guide * subject[..., None],
            behind,
            guide * behind[..., None],
            _products(guide) * (subject + behind)[..., None],
        ]
    )
    near = _mean(moments, radius)[band]
    weight_f, weight_b = near[:, :1], near[:, 4:5]
    mean_f, mean_b = near[:, 1:4] / weight_f, near[:, 5:8] / weight_b
    spread = near[:, 8:] - weight_f * _products(mean_f) - weight_b * _products(mean_b)
    apart = mean_f - mean_b
    direction = _solve(spread / (weight_f + weight_b), apart, _NOISE)
    along = np.einsum("nc,nc->n", direction, guide[band] - mean_b)
    distance = np.maximum(np.einsum("nc,nc->n", direction, apart), np.float32(1e-6))
    evidence = np.minimum((weight_f + weight_b)[:, 0], 1)
    prior = np.float32(_CLEAR**2) / (distance * evidence)
    decided = alpha.copy()
    decided[band] = np.clip((along + prior * alpha[band]) / (distance + prior), 0, 1)
    return decided


def _guided(guide: Floats, alpha: Floats, band: Mask) -> Floats:
    """(h, w, 4): a and b of alpha ≈ a·I + b, valid in `band`."""
    radius = _GUIDED_RADIUS
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    # b is a mean of its neighbours', so these must be known as well.
    around = np.asarray(cv2.dilate(band.view(np.uint8), window)).view(np.bool_)
    moments = np.dstack([alpha, guide, guide * alpha[..., None], _products(guide)])
    near = _mean(moments, radius)[around]
    mean_alpha, mean_colour = near[:, 0], near[:, 1:4]
    covariance = near[:, 4:7] - mean_colour * mean_alpha[:, None]
    slope = _solve(near[:, 7:] - _products(mean_colour), covariance, _SMOOTH)
    linear = np.zeros((*alpha.shape, 4), np.float32)
    linear[around, :3] = slope
    linear[around, 3] = mean_alpha - np.einsum("nc,nc->n", slope, mean_colour)
    return _mean(linear, radius)
