"""Errors of mattes whose figures can be said by hand."""

import numpy as np
import pytest

from model.evaluation.matting import gradient_error, matte_errors


def test_an_even_difference() -> None:
    truth = np.full((100, 50), 255, np.uint8)
    sad, mse, gradient = matte_errors(np.full_like(truth, 204), truth)
    assert (sad, mse) == pytest.approx((1.0, 0.04))
    assert gradient == pytest.approx(0, abs=1e-12)


def test_the_gradient_of_a_ramp_is_that_of_its_definition() -> None:
    """Kernel g'(x) g(y), norm 1, sigma 1.4, reaching 4 px, written out as it stands in the paper's code."""
    steps = np.arange(-4, 5)
    bell = np.exp(-(steps**2) / (2 * 1.4**2)) / (1.4 * np.sqrt(2 * np.pi))
    kernel = np.outer(bell, -steps * bell / 1.4**2)
    kernel /= np.sqrt((kernel**2).sum())
    slope = 0.01
    ramp = np.tile(np.arange(60) * slope, (40, 1))
    inner = abs((kernel * steps).sum() * slope)
    error = gradient_error(ramp, np.zeros_like(ramp)) * 1000
    border = 2 * 4 * 40 * inner**2
    assert (60 - 8) * 40 * inner**2 <= error <= (60 - 8) * 40 * inner**2 + border


def test_a_blurred_edge_costs_gradient_and_a_right_one_nothing() -> None:
    edge = np.zeros((40, 40))
    edge[:, 20:] = 1
    soft = np.tile(np.clip((np.arange(40) - 15) / 10, 0, 1), (40, 1))
    assert gradient_error(edge, edge) == 0
    assert gradient_error(soft, edge) > gradient_error((soft + edge) / 2, edge) > 0
