from __future__ import annotations

import numpy as np
import pytest

from interp.maths.moments import excess_kurtosis


def test_values_equally_far_from_their_mean_have_the_least_kurtosis_and_no_error():
    found, error = excess_kurtosis(np.repeat([-3.0, 5.0], 50))
    assert found == pytest.approx(-2)
    assert np.isnan(error)


@pytest.mark.parametrize(
    ("draw", "expected"),
    [("normal", 0.0), ("uniform", -1.2), ("laplace", 3.0)],
)
def test_it_is_that_of_the_distribution(draw, expected):
    found, error = excess_kurtosis(getattr(np.random.default_rng(0), draw)(size=400_000))
    assert found == pytest.approx(expected, abs=5 * error)


def test_the_standard_error_of_a_gaussian_is_the_root_of_24_over_n():
    random = np.random.default_rng(1)
    assert excess_kurtosis(random.normal(size=400_000))[1] == pytest.approx(np.sqrt(24 / 400_000), rel=0.05)


def test_it_is_within_two_standard_errors_in_95_of_100():
    random = np.random.default_rng(2)
    found = np.array([excess_kurtosis(random.uniform(size=1000)) for _ in range(500)])
    assert np.mean(np.abs(found[:, 0] + 1.2) < 1.96 * found[:, 1]) == pytest.approx(0.95, abs=0.04)
