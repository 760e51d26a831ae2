"""The matte decided anew between what is surely subject and what is surely background, as rembg asks for it.

rembg hands its trimap to closed-form matting (Levin et al. 2008) over the whole picture, which takes seconds
to minutes. Here the colours on the two sides decide, as in edges.refine, and only in the unknown band.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.alpha import quantise
from postprocess.edges import refine
from postprocess.types import RGB, Alpha

Trimap = NDArray[np.uint8]

SUBJECT, UNKNOWN, BACKGROUND = 255, 128, 0
_LONGEST = 512
"""px of the matte that edges.refine is given: its grid has twice as many cells."""


def trimap(alpha: Alpha, foreground: int, background: int, erode: int) -> Trimap:
    """(H, W) uint8 of SUBJECT, UNKNOWN and BACKGROUND, pixel for pixel rembg's.

    foreground, background: levels of 255 above and below which the matte is believed.
    erode: side of the square that shrinks both, px. A subject that leaves the picture ends at its border;
    the background does not.
    """
    levels = quantise(alpha)
    subject, behind = (levels > foreground).view(np.uint8), (levels < background).view(np.uint8)
    if erode > 0:
        square = np.ones((erode, erode), np.uint8)
        subject = np.asarray(cv2.erode(subject, square, borderType=cv2.BORDER_CONSTANT, borderValue=0))
        behind = np.asarray(cv2.erode(behind, square, borderType=cv2.BORDER_CONSTANT, borderValue=1))
    known = np.full(alpha.shape, UNKNOWN, np.uint8)
    known[subject > 0] = SUBJECT
    known[behind > 0] = BACKGROUND
    return known


def solve(rgb: RGB, alpha: Alpha, known: Trimap) -> Alpha:
    """(H, W): exactly 1 and 0 where `known` says so; between them, alpha after a second look at the colours.

    That look starts from `alpha` and the known sides: on hair it leaves half of the error of the first.
    """
    unknown = known == UNKNOWN
    if not unknown.any():
        return np.asarray(known == SUBJECT, np.float32)
    prior = np.where(unknown, alpha, known / np.float32(255))
    scale = min(1.0, _LONGEST / max(alpha.shape))
    size = (max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale)))
    small = np.asarray(cv2.resize(prior, size, interpolation=cv2.INTER_AREA), np.float32)
    return np.asarray(np.where(unknown, refine(small, rgb), prior), np.float32)


def smooth_mask(alpha: Alpha) -> Alpha:
    """(H, W) of 0 and 1: opened by a disc of 1 px, blurred by 2 px and cut at 127 of 255, as rembg does."""
    disc = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    opened = cv2.morphologyEx(quantise(alpha), cv2.MORPH_OPEN, disc)
    # 17 taps reach 4 sigma, and the border is mirrored: scipy's defaults, which it relies on.
    blurred = cv2.GaussianBlur(opened, (17, 17), 2.0, borderType=cv2.BORDER_REFLECT)
    return (np.asarray(blurred) >= 127).astype(np.float32)
