"""The subject's own colours at its edge, where the photo shows a mixture of subject and background.

As in "Approximate Fast Foreground Colour Estimation" (Forte 2021): local colours F and B of the two sides
from wide windows to narrow ones, then F + alpha * (I - alpha F - (1 - alpha) B). There F and B are weighted
means, which on wide edges keep a share of the other side; here that share, known from the mean alpha, is
taken out. F and B are smooth and therefore computed on a coarse grid; the correction is made at full
resolution, only where the matte is neither 0 nor 1.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.alpha import quantise
from postprocess.grid import Floats, factor_for, patches, reduce
from postprocess.types import RGB, Alpha, Mask

Eight = NDArray[np.uint8]

_LONGEST = 320  # cells: what the grid may cost
_RADII = (32, 8, 2)  # of the windows, cells; what a narrow one cannot tell, it takes from the wider one
_STEEPNESS = 4  # power of alpha as a weight: opaque pixels count, mixed ones only where there are no others
_TRUST = np.float32(1e-2)  # the weight at which a window counts as much as the wider one


def decontaminate(rgb: RGB, alpha: Alpha) -> RGB:
    """(H, W, 3): the picture with the background's share taken out of pixels with 0 < alpha < 1.

    Opaque pixels keep their exact colours, and so do hidden ones (alpha 0).
    """
    shape = (rgb.shape[0], rgb.shape[1])
    factor = factor_for(shape, _LONGEST)
    eight_bit = quantise(alpha)
    band = _mixed(eight_bit, factor)
    clean = rgb.copy()
    if not band.any():
        return clean
    fields = np.dstack(_fields(rgb, eight_bit, factor))
    for patch in patches(band, factor, shape):
        share = patch.gather(alpha)[..., None]
        both = patch.spread(fields)
        subject, behind = both[..., :3], both[..., 3:]
        seen = patch.gather(rgb)
        unexplained = seen - behind - share * (subject - behind)
        corrected = np.rint(np.clip(subject + share * unexplained, 0, 255))
        patch.scatter(np.where((share > 0) & (share < 1), corrected, seen).astype(np.uint8), clean)
    return clean


def extend(rgb: RGB, alpha: Alpha) -> RGB:
    """(H, W, 3): the picture with the subject's local colours where alpha is 0, in place of the background's.

    For what shows or averages hidden pixels: the output `foreground`, and lossy codecs, which would
    otherwise bleed what is hidden over the edge.
    """
    factor = factor_for(rgb.shape, _LONGEST)
    eight_bit = quantise(alpha)
    subject, _ = _fields(rgb, eight_bit, factor)
    size = (subject.shape[1] * factor, subject.shape[0] * factor)
    smooth = np.asarray(cv2.resize(np.rint(subject).astype(np.uint8), size), np.uint8)
    full = np.ascontiguousarray(smooth[: rgb.shape[0], : rgb.shape[1]])
    return np.asarray(cv2.copyTo(rgb, eight_bit, full), np.uint8)


def _mixed(eight_bit: Eight, factor: int) -> Mask:
    """Cells that hold a pixel with 0 < alpha < 1 as far as eight bits can tell."""
    mixed = ((eight_bit - np.uint8(1)) < 254).view(np.uint8) * np.uint8(255)
    return np.asarray(reduce(mixed, factor) > 0)


def _fields(rgb: RGB, eight_bit: Eight, factor: int) -> tuple[Floats, Floats]:
    """Local colours of the pure subject and the pure background, (h, w, 3) in [0, 255] each."""
    colours = reduce(rgb, factor).astype(np.float32)
    share = reduce(eight_bit, factor).astype(np.float32)[..., None] / np.float32(255)
    # What is averaged on either side: colour, and the subject's share in it.
    samples = np.dstack([colours, share])
    sides = [
        np.dstack([samples * weight, weight]) for weight in (share**_STEEPNESS, (1 - share) ** _STEEPNESS)
    ]
    pure = [_widest(side, alpha) for side, alpha in zip(sides, (1, 0), strict=True)]
    for radius in _RADII:
        window = (2 * radius + 1, 2 * radius + 1)
        means = []
        for side, wider in zip(sides, pure, strict=True):
            local = np.asarray(cv2.blur(side, window, borderType=cv2.BORDER_REFLECT), np.float32)
            means.append((local[..., :4] + _TRUST * wider) / (local[..., 4:] + _TRUST))
        pure = _unmix(*means)
    return pure[0][..., :3], pure[1][..., :3]


def _widest(side: Floats, alpha: int) -> Floats:
    """The mean of the whole picture, taken for pure. A side without any weight is grey."""
    total = side.sum(axis=(0, 1), dtype=np.float64)
    colour = total[:3] / total[4] if total[4] > 0 else np.full(3, 127.5)
    return np.append(colour, alpha).astype(np.float32)


def _unmix(subject: Floats, behind: Floats) -> list[Floats]:
    """The colours at alpha 1 and 0 on the line through two mixtures, each (..., 4): colour and its alpha.

    A mean over mixed pixels is itself a mixture, alpha F + (1 - alpha) B with the mean alpha: two of them
    with different alphas give F and B.
    """
    apart = np.maximum(subject[..., 3:] - behind[..., 3:], np.float32(1e-3))
    slope = (subject - behind) / apart
    pure = []
    for mean, alpha in ((subject, 1), (behind, 0)):
        at = mean + (alpha - mean[..., 3:]) * slope
        np.clip(at[..., :3], 0, 255, out=at[..., :3])
        at[..., 3] = alpha
        pure.append(at)
    return pure
