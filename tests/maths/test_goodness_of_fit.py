from __future__ import annotations

import numpy as np
import pytest

from interp.maths.goodness_of_fit import goodness_of_fit
from interp.maths.mixtures import Mixture, fit_mixtures


def two(random, n):
    return np.where(random.random(n) < 0.3, random.normal(-2, 0.5, n), random.normal(1, 1, n))


def of_two_widths(random, n):
    return np.where(random.random(n) < 0.3, random.normal(0, 0.1, n), random.normal(0, 1, n))


def gaussian(random, n):
    return random.normal(0, 1, n)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "components"),
    [(two, 2), (gaussian, 1), (of_two_widths, 2)],
)
def test_where_the_fit_is_right_the_p_value_is_uniform(draw, components):
    """Though it was fitted to the very same values."""
    random = np.random.default_rng(0)
    samples = [draw(random, 1000) for _ in range(150)]
    p = np.array(
        [
            goodness_of_fit(x, fits[components - 1].mixture).p_value
            for x, fits in zip(samples, fit_mixtures(samples), strict=True)
        ]
    )
    for level in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(p < level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 150))


@pytest.mark.parametrize("draw", [two, of_two_widths])
def test_one_gaussian_is_refused_for_two(draw):
    x = draw(np.random.default_rng(1), 1000)
    single, double = fit_mixtures([x])[0][:2]
    wrong, right = goodness_of_fit(x, single.mixture), goodness_of_fit(x, double.mixture)
    assert wrong.p_value < 1e-6
    assert wrong.statistic > 2 * right.statistic
    assert wrong.distance > 3 * right.distance


def test_the_distance_is_that_of_kolmogorov():
    from scipy.stats import kstest, norm

    x = np.random.default_rng(2).normal(0.3, 1.2, 300)
    found = goodness_of_fit(x, Mixture(np.array([1.0]), np.array([0.0]), np.array([1.0])))
    assert found.distance == pytest.approx(kstest(x, norm.cdf).statistic, abs=1e-12)


def test_a_unit_does_not_matter():
    x = two(np.random.default_rng(3), 500)
    mixture = fit_mixtures([x])[0][1].mixture
    scaled = Mixture(mixture.weight, 1e-3 * mixture.mean, 1e-6 * mixture.variance)
    found, expected = goodness_of_fit(1e-3 * x, scaled), goodness_of_fit(x, mixture)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-5)
