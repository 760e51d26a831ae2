"""The second look: only at what a network is unsure of, and worth as much as the first one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import InferenceFailed
from model.loaded import LoadedModel
from model.registry import REGISTRY
from model.second_look import agreed, mirrored, uncertainty
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


class Leaning(LoadedModel):
    """Takes what is bright for the subject, and the left half for ground, nearly."""

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
        alphas[..., : alphas.shape[-1] // 2] *= 0.25
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


def test_mirrored_pictures_are_pictures() -> None:
    made = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert mirrored(made).flags.c_contiguous
    np.testing.assert_array_equal(mirrored(made)[:, 0], made[:, 3])


def test_lite_alone_looks_twice() -> None:
    assert [name for name, spec in REGISTRY.items() if spec.second_look is not None] == ["lite"]
