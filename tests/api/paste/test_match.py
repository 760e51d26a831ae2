"""The screen in photographs of it: found within 1 % of its diagonal, and not found where it is not."""

import cv2
import numpy as np
import pytest

from api.paste.match import LEAST_INLIERS, find_place
from postprocess.types import RGB
from tests.api.paste.screens import HEIGHT, WIDTH, Shot, room, screen, shot

DIAGONAL = float(np.hypot(WIDTH, HEIGHT))


def error(shown: RGB, photo: Shot) -> float:
    """Share of the diagonal; infinite where it is not found."""
    place = find_place(photo.view, shown)
    if place is None:
        return float("inf")
    assert place.inliers >= LEAST_INLIERS
    return float(np.hypot(place.x - photo.x, place.y - photo.y)) / DIAGONAL


@pytest.mark.parametrize(
    ("blur", "noise"),
    [
        pytest.param(0.7, 4.0, id="a good camera"),
        pytest.param(1.5, 10.0, id="a moving one"),
        pytest.param(3.0, 20.0, id="a moving one at night"),
    ],
)
def test_the_median_error_is_far_below_one_percent(blur: float, noise: float) -> None:
    errors = [error(screen(seed), shot(screen(seed), seed, blur=blur, noise=noise)) for seed in range(5)]
    assert float(np.median(errors)) < 0.002
    assert sum(each < 0.01 for each in errors) >= 4


def test_views_of_any_shape_and_screens_of_any_size() -> None:
    shown = screen(3)
    large = np.asarray(cv2.resize(shown, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
    photo = shot(shown, 4, size=(1200, 900))
    place = find_place(photo.view, large)
    assert place is not None
    assert np.hypot(place.x / 2 - photo.x, place.y / 2 - photo.y) < 0.005 * DIAGONAL


def test_the_same_photo_gives_the_same_place() -> None:
    photo = shot(screen(1), 1)
    assert find_place(photo.view, screen(1)) == find_place(photo.view, screen(1))


@pytest.mark.parametrize("seed", range(3))
def test_a_room_without_the_screen(seed: int) -> None:
    assert find_place(room(seed), screen(seed)) is None


@pytest.mark.parametrize("seed", range(3))
def test_another_screen_with_the_same_words(seed: int) -> None:
    assert find_place(shot(screen(50 + seed), seed).view, screen(seed)) is None


def test_a_mirror_is_not_the_screen() -> None:
    assert find_place(np.ascontiguousarray(shot(screen(2), 2).view[:, ::-1]), screen(2)) is None


def test_a_place_beside_the_screen_is_none() -> None:
    view = np.full((HEIGHT, 3 * WIDTH, 3), 60, np.uint8)
    view[:, :WIDTH] = screen(0)  # the camera's middle is half a screen's width beside it
    assert find_place(view, screen(0)) is None


@pytest.mark.parametrize("level", [0, 255])
def test_nothing_to_see(level: int) -> None:
    flat = np.full((300, 200, 3), level, np.uint8)
    assert find_place(flat, screen(0)) is None
    assert find_place(screen(0), flat) is None
