"""The second look: only at what a network is unsure of, and worth as much as the first one."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import InferenceFailed
from model.loaded import LoadedModel
from model.registry import REGISTRY
from model.second_look import Window, agreed, closer, combined, surroundings, uncertainty
from tests.model.toy import toy_spec


def alpha(*rows: Sequence[float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(alpha([1, 1, 0, 0]), 0.0, id="sure"),
        pytest.param(alpha([1, 1, 0.6, 0.4]), 2 / 3, id="an edge"),
        pytest.param(alpha([0.3, 0.4, 0, 0]), 2.0, id="no subject for sure"),
        pytest.param(alpha([0, 0, 0, 0]), 0.0, id="surely none"),
    ],
)
def test_uncertainty(found: NDArray[np.float32], expected: float) -> None:
    assert uncertainty(found) == pytest.approx(expected)


def test_what_two_agree_on_is_the_mean_of_their_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 7))
    one, other = (1 / (1 + np.exp(-logits))).astype(np.float32)
    found = agreed(one, other)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits.mean(0))), atol=1e-5)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        pytest.param(1, 1, 1, id="both are sure of the subject"),
        pytest.param(0, 0, 0, id="both are sure of the ground"),
        pytest.param(1, 0, 0.5, id="they contradict each other"),
        pytest.param(1, 0.5, 1, id="one is sure"),
        pytest.param(np.nan, 0.5, np.nan, id="one is no number"),
    ],
)
def test_agreement_at_the_ends(one: float, other: float, expected: float) -> None:
    for pair in ((one, other), (other, one)):
        np.testing.assert_array_equal(agreed(*(alpha([value]) for value in pair)), alpha([expected]))


SHAPE = (60, 90)
WHOLE: Window = (slice(0, 60), slice(0, 90))


def box(rows: slice, columns: slice, value: float = 1.0) -> NDArray[np.float32]:
    found = np.zeros(SHAPE, np.float32)
    found[rows, columns] = value
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(
            box(slice(20, 40), slice(30, 70)), (slice(17, 43), slice(24, 76)), id="a margin of 15 %"
        ),
        pytest.param(box(slice(0, 20), slice(50, 90)), (slice(0, 23), slice(44, 90)), id="at the border"),
        pytest.param(
            box(slice(20, 40), slice(30, 70)) + box(slice(45, 50), slice(0, 5), 0.2),
            (slice(15, 55), slice(0, 81)),
            id="what is faint may belong to it",
        ),
        pytest.param(
            box(slice(29, 31), slice(40, 50)), (slice(20, 40), slice(30, 60)), id="no less than a third"
        ),
        pytest.param(box(*WHOLE, 0.5), WHOLE, id="everywhere"),
        pytest.param(box(*WHOLE, 0.1), WHOLE, id="nowhere"),
    ],
)
def test_the_subject_and_its_surroundings(found: NDArray[np.float32], expected: Window) -> None:
    assert surroundings(found) == expected


def test_a_closer_look_is_enlarged_and_mirrored() -> None:
    made = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(closer(made, WHOLE), made[:, ::-1])
    window = (slice(5, 35), slice(10, 70))
    shown = closer(made, window)
    assert shown.flags.c_contiguous
    expected = cv2.resize(np.ascontiguousarray(made[window][:, ::-1]), SHAPE[::-1]).astype(np.int16)
    assert np.abs(shown - expected).max() <= 1, "of 255: cv2 rounds in fixed point"


def test_what_was_seen_closer_is_put_where_it_was() -> None:
    y, x = np.mgrid[0:60, 0:90]
    first = (1 / (1 + np.exp(np.hypot(y - 30, x - 50) - 15))).astype(np.float32)
    window = surroundings(first)
    rows, columns = window
    scale = np.array([60, 90]) / (rows.stop - rows.start, columns.stop - columns.start)
    # The same disc as a network would see it: enlarged, mirrored.
    center = ((30.5 - rows.start) * scale[0] - 0.5, 89 - ((50.5 - columns.start) * scale[1] - 0.5))
    distance = np.hypot((y - center[0]) / scale[0], (x - center[1]) / scale[1])
    found = combined(first, (1 / (1 + np.exp(distance - 15))).astype(np.float32), window)
    assert found.dtype == np.float32
    assert np.abs(found - first).max() < 0.02
    within = np.zeros(SHAPE, bool)
    within[window] = True
    np.testing.assert_array_equal(found[~within], first[~within])


def test_where_looks_contradict_each_other_the_first_one_counts() -> None:
    first, window = box(slice(20, 40), slice(30, 70)), (slice(10, 50), slice(20, 80))
    np.testing.assert_array_equal(combined(first, np.zeros(SHAPE, np.float32), window), first)
    np.testing.assert_array_equal(combined(first, np.ones(SHAPE, np.float32), window), first)
    nothing = np.full(SHAPE, np.nan, np.float32)
    assert np.isnan(combined(first, nothing, window)[window]).all(), "which is a failure, no contradiction"


class Leaning(LoadedModel):
    """Takes what is bright for the subject, what is left somewhat less so."""

    runtime = "none"
    precision = "float32"

    def __init__(self, second_look: float | None) -> None:
        self.spec = replace(toy_spec(), second_look=second_look)
        self.seen = list[int]()

    def place(self) -> tuple[str, str]:
        return "cpu", "none"

    def close(self) -> None: ...

    def predict(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(len(pictures))
        alphas = np.stack([picture[..., 0].astype(np.float32) / 255 for picture in pictures])
        alphas[..., : alphas.shape[-1] // 2] *= 0.8
        return alphas


def picture(value: int) -> NDArray[np.uint8]:
    return np.full((2, 4, 3), value, np.uint8)


def test_only_what_is_unsure_is_looked_at_twice() -> None:
    model, told = Leaning(0.08), list[int]()
    model.on_second_look = told.append
    sure, unsure = model.run([picture(0), picture(204)])
    assert isinstance(sure, np.ndarray)
    assert model.seen == [2, 1]
    model.run([picture(0)])
    assert told == [1]
    np.testing.assert_array_equal(sure, np.zeros((2, 4)))
    first = model.predict([picture(204)])[0]
    assert isinstance(unsure, np.ndarray)
    np.testing.assert_allclose(unsure, agreed(first, first[:, ::-1]))
    np.testing.assert_allclose(unsure, unsure[:, ::-1], err_msg="neither side is preferred")


def test_without_a_limit_there_is_one_look() -> None:
    model = Leaning(None)
    (found,) = model.run([picture(204)])
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, model.predict([picture(204)])[0])
    assert model.seen == [1, 1]


def test_a_second_look_that_fails_is_a_failure() -> None:
    class Blind(Leaning):
        def predict(self, pictures: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> NDArray[np.float32]:
            alphas = super().predict(pictures)
            return alphas * np.nan if len(self.seen) > 1 else alphas

    failed, well = Blind(0.08).run([picture(204), picture(0)])
    assert isinstance(failed, InferenceFailed)
    assert isinstance(well, np.ndarray)


def test_lite_alone_looks_twice() -> None:
    assert [name for name, spec in REGISTRY.items() if spec.second_look is not None] == ["lite"]
