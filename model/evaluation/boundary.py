"""Measures of a mask's boundary that pysodmetrics lacks."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["accuracy", "boundary_iou", "relaxed_f"]

Gray: TypeAlias = NDArray[np.uint8]
Binary: TypeAlias = NDArray[np.bool_]
Curve: TypeAlias = NDArray[np.float64]

BAND = 0.02
"""Width of the boundary of BIoU, share of the picture's diagonal."""
RADII = 5
"""How many widths MBA looks at, from 1 px up to (width + height) / 300 px."""
SLACK = 3
"""How far, px, the relaxed boundary F lets a boundary be off."""
BETA_SQUARE = 0.3


def accuracy(predicted: Binary, foreground: Binary) -> float:
    """MBA: the share of pixels called right within r px of the true boundary, mean over five radii r."""
    height, width = foreground.shape
    widest = (width + height) / 300
    accuracies = []
    for step in range(RADII):
        radius = 1 + int((widest - 1) / RADII * step)
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        near = cv2.morphologyEx(foreground.astype(np.uint8), cv2.MORPH_GRADIENT, disk) > 0
        accuracies.append(np.mean(predicted[near] == foreground[near]))
    return float(np.mean(accuracies))


def boundary_iou(prediction: Gray, foreground: Binary) -> Curve:
    """IoU of the two inner boundaries, the prediction's being grey, at every threshold."""
    reach = max(1, round(BAND * float(np.hypot(*foreground.shape))))
    predicted = _inner_boundary(_stretched(prediction), reach)
    true = _inner_boundary(np.where(foreground, 255, 0).astype(np.uint8), reach) > 128
    hits, misses = (_at_least(predicted[where]) for where in (true, ~true))
    return hits / (np.count_nonzero(true) + misses)


def relaxed_f(predicted: Binary, foreground: Binary) -> float:
    """F of the two boundaries, each 1 px wide, a pixel counting as found within SLACK px of the other one.

    0 where the prediction has no boundary.
    """
    masks = (np.where(mask, 255, 0).astype(np.uint8) for mask in (predicted, foreground))
    ours, true = (_inner_boundary(mask, 1) > 0 for mask in masks)
    if not ours.any():
        return 0.0
    precision, recall = _within_slack(ours, true), _within_slack(true, ours)
    if not precision + recall:
        return 0.0
    return (1 + BETA_SQUARE) * precision * recall / (BETA_SQUARE * precision + recall)


def _stretched(gray: Gray) -> Gray:
    """To 0 to 255, an even one as it is; cut off rather than rounded, as the authors' code does it."""
    values = gray / 255
    least, greatest = values.min(), values.max()
    if least != greatest:
        values = (values - least) / (greatest - least)
    stretched: Gray = (values * 255).astype(np.uint8)
    return stretched


def _within_slack(these: Binary, those: Binary) -> float:
    """The share of these pixels that have one of those near; neither is empty."""
    distance = cv2.distanceTransform((~those).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.mean(np.asarray(distance)[these] <= SLACK))


def _inner_boundary(gray: Gray, reach: int) -> Gray:
    """What erosion by `reach` px takes away; the picture's border counts as background."""
    padded = cv2.copyMakeBorder(gray, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=reach)[1:-1, 1:-1]
    return gray - np.asarray(eroded, np.uint8)


def _at_least(values: Gray) -> Curve:
    """(256,): how many of the values reach 255, 254, … 0."""
    return np.cumsum(np.bincount(values, minlength=256)[::-1]).astype(np.float64)
