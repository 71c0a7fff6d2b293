"""Split R-hat and effective draws, against draws whose correlations are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from interp.maths import chains


def autoregressive(rho, m, n, seed=0):
    """x_t = ρ x_{t-1} + √(1 - ρ²) ε: variance 1, correlation ρ^t, and (1 + ρ)/(1 - ρ) draws are worth one."""
    random = np.random.default_rng(seed)
    x = [random.normal(size=m)]
    for _ in range(n - 1):
        x.append(rho * x[-1] + math.sqrt(1 - rho**2) * random.normal(size=m))
    return np.stack(x, axis=1)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_effective_draws_of_an_autoregression_are_those_of_its_closed_form(rho):
    drawn = autoregressive(rho, 4, 10_000)
    assert chains.effective_draws(drawn) == pytest.approx(40_000 * (1 - rho) / (1 + rho), rel=0.1)
    assert chains.r_hat(chains.split(drawn)) == pytest.approx(1, abs=0.01)


def test_r_hat_of_two_chains_is_by_hand():
    """Means 1 and 4, variances 1 and 1, n = 3: the variance of a draw is 2/3 + 4.5."""
    assert chains.r_hat(np.array([[0.0, 1, 2], [3, 4, 5]])) == pytest.approx(math.sqrt(2 / 3 + 4.5))


def test_a_chain_that_drifts_is_two_halves_that_differ():
    assert chains.r_hat(chains.split(np.arange(100.0)[None])) > 1.5


@pytest.mark.parametrize(("m", "n"), [(2, 6), (4, 5), (8, 30)])
def test_independent_draws_are_doubted_once_in_a_hundred_times_at_most(m, n):
    random = np.random.default_rng(1)
    bar = chains.doubtful_r_hat(m, n)
    doubted = np.mean([chains.r_hat(random.normal(size=(m, n))) > bar for _ in range(4_000)])
    assert doubted < 0.01 + 4 * math.sqrt(0.01 / 4_000)
    assert bar >= 1.2


def test_the_interval_holds_the_mean_as_often_as_it_says():
    """Draws of a correlation of 0.5, two chains of 40."""
    found = [chains.mean_of(autoregressive(0.5, 2, 40, seed)) for seed in range(400)]
    held = np.mean([one.low <= 0 <= one.high for one in found])
    assert 0.9 < held < 0.99
