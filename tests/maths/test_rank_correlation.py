from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from interp.maths.rank_correlation import spearman, spearman_interval


def test_only_the_order_counts():
    x = np.array([1.0, 2.0, 5.0, 3.0, 8.0])
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)


def test_it_is_scipys_with_ties():
    random = np.random.default_rng(0)
    x, y = random.integers(0, 6, 40).astype(float), random.integers(0, 6, 40).astype(float)
    assert spearman(x, y) == pytest.approx(float(scipy.stats.spearmanr(x, y).statistic))


def test_where_there_is_no_order_there_is_no_correlation():
    x = np.arange(5.0)
    assert math.isnan(spearman(x, np.ones(5)))
    assert math.isnan(spearman(x[:3], x[:3]))
    assert all(map(math.isnan, spearman_interval(math.nan, 5)))


def test_the_interval_of_a_worked_example():
    """ρ = 0.5, n = 28: artanh 0.5 ± 1.959964·√(1.125/25)."""
    low, high = spearman_interval(0.5, 28)
    assert (low, high) == pytest.approx((math.tanh(0.5493061 - 0.4157708), math.tanh(0.5493061 + 0.4157708)), abs=1e-6)


def test_the_interval_mirrors_and_narrows():
    low, high = spearman_interval(0.6, 24)
    assert spearman_interval(-0.6, 24) == pytest.approx((-high, -low))
    assert spearman_interval(0.6, 200)[0] > low
    assert spearman_interval(1.0, 24) == (1, 1)


def test_it_holds_the_true_correlation_in_95_of_100_samples():
    """Normal pairs of correlation r have Spearman's ρ of 6/π arcsin(r/2); 24 a sample, as many as there are runs."""
    random = np.random.default_rng(0)
    r = -0.8
    true = 6 / math.pi * math.asin(r / 2)
    samples = random.multivariate_normal([0, 0], [[1, r], [r, 1]], (1000, 24))
    held = [low <= true <= high for low, high in (spearman_interval(spearman(*s.T), 24) for s in samples)]
    assert 0.93 < np.mean(held) < 0.975
