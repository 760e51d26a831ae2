"""The subject's own colours at its edge, where the photo shows a mixture of subject and background.

As in "Approximate Fast Foreground Colour Estimation" (Forte 2021): local colours F and B of the two sides
from wide windows to narrow ones, then F + alpha * (I - alpha F - (1 - alpha) B). There F and B are weighted
means, which on wide edges keep a share of the other side; here that share, known from the mean alpha, is
taken out. F and B are smooth and therefore computed on a coarse grid, and only in the cells that are asked
for; the correction is made at full resolution, only where the matte is neither 0 nor 1.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.alpha import quantise
from postprocess.grid import Floats, factor_for, grown, local_means, patches, reduce, weights
from postprocess.types import RGB, Alpha, Mask

Eight = NDArray[np.uint8]

_LONGEST = 320  # cells: what the grid may cost
_RADII = (32, 8, 2)  # of the windows, cells; what a narrow one cannot tell, it takes from the wider one
_TRUST = np.float32(1e-2)  # the weight at which a window counts as much as the wider one


def decontaminate(rgb: RGB, alpha: Alpha) -> RGB:
    """(H, W, 3): the picture with the background's share taken out of pixels with 0 < alpha < 1.

    Opaque pixels keep their exact colours, and so do hidden ones (alpha 0).
    """
    shape = (rgb.shape[0], rgb.shape[1])
    factor = factor_for(shape, _LONGEST)
    eight_bit = quantise(alpha)
    band = _mixed(eight_bit, factor)
    if not band.any():
        return rgb.copy()
    # Between two cells' centres both count: the band's neighbours are asked for as well.
    cells = np.flatnonzero(grown(band, 1))
    fields = np.zeros((*band.shape, 6), np.float32)
    fields.reshape(-1, 6)[cells] = np.concatenate(_fields(rgb, eight_bit, factor, cells)).T
    clean = rgb.copy()  # not before now: what the fields took is free again
    flat = clean.reshape(-1, 3)
    for patch in patches(band, factor, shape):
        share = patch.gather(alpha)
        soft = (share > 0) & (share < 1)
        mixed = np.flatnonzero(soft if patch.inside is None else soft & patch.inside)
        pixels = patch.pixels.take(mixed)
        both = patch.spread(fields).reshape(-1, 6).take(mixed, axis=0)
        share = share.take(mixed)[:, None]
        subject, behind = both[:, :3], both[:, 3:]
        unexplained = flat.take(pixels, axis=0) - behind - share * (subject - behind)
        corrected = np.clip(subject + share * unexplained, 0, 255)
        flat[pixels] = np.rint(corrected).astype(np.uint8)
    return clean


def extend(rgb: RGB, alpha: Alpha) -> RGB:
    """(H, W, 3): the picture with the subject's local colours where alpha is 0, in place of the background's.

    For what shows or averages hidden pixels: the output `foreground`, and lossy codecs, which would
    otherwise bleed what is hidden over the edge.
    """
    factor = factor_for(rgb.shape, _LONGEST)
    eight_bit = quantise(alpha)
    rows, columns = (-(-side // factor) for side in alpha.shape)
    subject, _ = _fields(rgb, eight_bit, factor, np.arange(rows * columns))
    cells = np.rint(subject.T).astype(np.uint8).reshape(rows, columns, 3)
    smooth = np.asarray(cv2.resize(cells, (columns * factor, rows * factor)), np.uint8)
    full = np.ascontiguousarray(smooth[: rgb.shape[0], : rgb.shape[1]])
    return np.asarray(cv2.copyTo(rgb, eight_bit, full), np.uint8)


def _mixed(eight_bit: Eight, factor: int) -> Mask:
    """Cells that hold a pixel with 0 < alpha < 1 as far as eight bits can tell."""
    mixed = ((eight_bit - np.uint8(1)) < 254).view(np.uint8) * np.uint8(255)
    return np.asarray(reduce(mixed, factor) > 0)


def _fields(rgb: RGB, eight_bit: Eight, factor: int, cells: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Local colours of the pure subject and the pure background in n cells, (3, n) in [0, 255] each."""
    share = reduce(eight_bit, factor).astype(np.float32) * np.float32(1 / 255)
    # What is averaged on either side: colour, and the subject's share in it.
    samples = [*(plane.astype(np.float32) for plane in cv2.split(reduce(rgb, factor))), share]
    sides = [[*(sample * weight for sample in samples), weight] for weight in weights(share)]
    pure = [_widest(side, alpha) for side, alpha in zip(sides, (1, 0), strict=True)]
    planes = [plane for side in sides for plane in side]
    for radius in _RADII:
        local = local_means(planes, radius, cells).reshape(2, 5, -1)
        means = [
            (side[:4] + _TRUST * wider) / (side[4] + _TRUST) for side, wider in zip(local, pure, strict=True)
        ]
        pure = _unmix(*means)
    return pure[0][:3], pure[1][:3]


def _widest(side: list[Floats], alpha: int) -> Floats:
    """(4, 1): the mean of the whole picture, taken for pure. A side without any weight is grey."""
    *colour, _, weight = (cv2.mean(plane)[0] for plane in side)
    mean = [level / weight if weight > 0 else 127.5 for level in colour]
    return np.array([*mean, alpha], np.float32)[:, None]


def _unmix(subject: Floats, behind: Floats) -> list[Floats]:
    """The colours at alpha 1 and 0 on the line through two mixtures, each (4, n): colour and its alpha.

    A mean over mixed pixels is itself a mixture, alpha F + (1 - alpha) B with the mean alpha: two of them
    with different alphas give F and B.
    """
    slope = (subject - behind) / np.maximum(subject[3] - behind[3], np.float32(1e-3))
    pure = []
    for mean, alpha in ((subject, 1), (behind, 0)):
        at = mean + (alpha - mean[3]) * slope
        np.clip(at[:3], 0, 255, out=at[:3])
        at[3] = alpha
        pure.append(at)
    return pure
