"""Where a photo of a screen points: which pixel of the screenshot lies in the middle of the photo.

As in screenpoint, which ar-cutpaste uses: SIFT features (Lowe 2004) of both, matched by FLANN with Lowe's
ratio test, and a homography by RANSAC. Its working sizes were 700 and 400 px. What it lacks is a second look:
a line of text that stands on two screens gives a good homography, too. Here the screenshot, laid over the
photo by that homography, must look like it.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from postprocess.types import RGB

Floats = NDArray[np.float64]
Plane = NDArray[np.float32]

RATIO = 0.7
LEAST_INLIERS = 6
LEAST_LIKENESS = 0.4
"""Measured: 0.8 and more where the screen is, through blur and noise; at most 0.15 elsewhere."""
_SURE = 25  # inliers with which there is no need for another look
_REPROJECTION = 5.0  # px of the working screenshot within which a match agrees with the homography
_SIZES = ((1000, 1200), (700, 500))
"""px of the longer sides of view and screen: the larger are precise, the smaller see through blur."""
_FEATURES = 3000
_LIKENESS_SIZES = (400, 800)  # of view and screen, where they are compared
_FINE, _COARSE = 1.5, 12.0  # px of the view: what is finer is noise, what is coarser is light
_LEAST_SHARE = 0.05  # of the view, that must show the screen


@dataclass(frozen=True, slots=True)
class Place:
    """x, y: px of the screenshot. inliers: the matches that agree on it. likeness: a correlation, up to 1."""

    x: float
    y: float
    inliers: int
    likeness: float


@dataclass(frozen=True, slots=True)
class _Features:
    """points: (n, 2) px of the picture as it was given. descriptors: (n, 128)."""

    points: Plane
    descriptors: Plane


def find_place(view: RGB, screen: RGB) -> Place | None:
    """What of `screen` is in the middle of `view`, a photo of it; None: the screen is not in the photo.

    view, screen: (h, w, 3), of any size.
    """
    cv2.setRNGSeed(0)  # FLANN's trees are random: the same photo is to give the same place
    places: list[Place] = []
    for sizes in _SIZES:
        if place := _find_at(view, screen, *sizes):
            places.append(place)
            if place.inliers >= _SURE:
                break
    return max(places, key=lambda place: place.likeness, default=None)


def _find_at(view: RGB, screen: RGB, view_size: int, screen_size: int) -> Place | None:
    seen, shown = _features(view, view_size), _features(screen, screen_size)
    pairs = _match(seen.descriptors, shown.descriptors)
    if len(pairs) < LEAST_INLIERS:
        return None
    tolerance = _REPROJECTION * max(1.0, max(screen.shape) / screen_size)
    source, target = seen.points[pairs[:, 0]], shown.points[pairs[:, 1]]
    # Any: OpenCV's stubs do not know that there may be none.
    found: tuple[Any, Any] = cv2.findHomography(source, target, cv2.RANSAC, tolerance)
    homography, agreeing = found
    if homography is None or (inliers := int(agreeing.sum())) < LEAST_INLIERS:
        return None
    middle = np.array([[[view.shape[1] / 2, view.shape[0] / 2]]])
    x, y = np.asarray(cv2.perspectiveTransform(middle, homography), np.float64)[0, 0]
    if not (0 <= x < screen.shape[1] and 0 <= y < screen.shape[0]):
        return None
    likeness = _likeness(view, screen, homography)
    return Place(float(x), float(y), inliers, likeness) if likeness >= LEAST_LIKENESS else None


def _grey(rgb: RGB, longest: int) -> tuple[NDArray[np.uint8], float]:
    """At most so large, and how much smaller that is."""
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    scale = min(1.0, longest / max(grey.shape))
    if scale < 1:
        size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
    return grey, scale


def _features(rgb: RGB, longest: int) -> _Features:
    grey, scale = _grey(rgb, longest)
    keypoints, descriptors = cv2.SIFT.create(_FEATURES).detectAndCompute(grey, None)
    if not keypoints:
        return _Features(np.empty((0, 2), np.float32), np.empty((0, 128), np.float32))
    # OpenCV's keypoints count from the middle of the first pixel, places from its corner.
    points = (np.array([point.pt for point in keypoints], np.float32) + np.float32(0.5)) / np.float32(scale)
    return _Features(points, np.asarray(descriptors, np.float32))


def _match(seen: Plane, shown: Plane) -> NDArray[np.intp]:
    """(n, 2): indices of features whose best match is clearly better than the second best."""
    if len(seen) < LEAST_INLIERS or len(shown) < LEAST_INLIERS:
        return np.empty((0, 2), np.intp)
    matcher = cv2.FlannBasedMatcher({"algorithm": 1, "trees": 5}, {"checks": 50})  # 1: KD-trees
    pairs = [
        (best.queryIdx, best.trainIdx)
        for best, second in matcher.knnMatch(seen, shown, k=2)
        if best.distance < RATIO * second.distance
    ]
    return np.array(pairs, np.intp).reshape(-1, 2)


def _likeness(view: RGB, screen: RGB, homography: Floats) -> float:
    """How alike the view and what the homography says it shows are: the correlation of their structure."""
    seen, view_scale = _grey(view, _LIKENESS_SIZES[0])
    shown, screen_scale = _grey(screen, _LIKENESS_SIZES[1])
    to_shown = np.diag([screen_scale, screen_scale, 1]) @ homography @ np.diag([1, 1, view_scale])
    size = (seen.shape[1], seen.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = np.asarray(cv2.warpPerspective(shown, to_shown, size, flags=flags), np.uint8)
    covered = cv2.warpPerspective(np.full_like(shown, 255), to_shown, size, flags=flags) == 255
    if np.mean(covered) < _LEAST_SHARE:
        return 0.0
    first, second = _structure(seen)[covered], _structure(expected)[covered]
    first, second = first - first.mean(), second - second.mean()
    energy = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / energy if energy > 0 else 0.0


def _structure(grey: NDArray[np.uint8]) -> Plane:
    """What is neither noise nor light."""
    plane = grey.astype(np.float32)
    fine, coarse = cv2.GaussianBlur(plane, (0, 0), _FINE), cv2.GaussianBlur(plane, (0, 0), _COARSE)
    return np.asarray(fine, np.float32) - np.asarray(coarse, np.float32)
