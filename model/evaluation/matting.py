"""Errors of mattes (Rhemann et al., A Perceptually Motivated Online Benchmark for Image Matting, CVPR 2009).

Over the whole picture: no trimap says where not to look.
"""

import math
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["gradient_error", "matte_errors"]

Matte: TypeAlias = NDArray[np.float64]

_SIGMA = 1.4
_SMALLEST = 1e-2
"""The gradient's kernel ends where the Gaussian falls below this."""


def matte_errors(prediction: NDArray[np.uint8], truth: NDArray[np.uint8]) -> tuple[float, float, float]:
    """(SAD in thousands, MSE, gradient error in thousands) of two mattes, (H, W) uint8."""
    ours, true = prediction / 255, truth / 255
    difference = ours - true
    sad = float(np.abs(difference).sum() / 1000)
    return sad, float(np.square(difference).mean()), gradient_error(ours, true)


def gradient_error(prediction: Matte, truth: Matte) -> float:
    """The summed squared difference of the gradients' magnitudes, in thousands. Mattes in [0, 1]."""
    return float(np.square(_magnitude(prediction) - _magnitude(truth)).sum() / 1000)


def _magnitude(matte: Matte) -> Matte:
    """Of the gradient through derivatives of a Gaussian, the matte's border being repeated outwards."""
    reach = math.ceil(_SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * _SIGMA * _SMALLEST)))
    steps = np.arange(-reach, reach + 1)
    bell = np.exp(-np.square(steps) / (2 * _SIGMA**2)) / (_SIGMA * math.sqrt(2 * math.pi))
    slope = -steps * bell / _SIGMA**2
    # The two-dimensional kernel, bell times slope, has a norm of 1.
    slope = slope / math.sqrt(float(np.square(bell).sum() * np.square(slope).sum()))
    across, down = (
        cv2.sepFilter2D(matte, cv2.CV_64F, x, y, borderType=cv2.BORDER_REPLICATE)
        for x, y in ((slope, bell), (bell, slope))
    )
    return np.hypot(across, down)
