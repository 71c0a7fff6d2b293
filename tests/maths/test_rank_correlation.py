from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import scipy.stats

from interp.maths.rank_correlation import advantage, spearman, spearman_interval


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


# Its interval.


def true(r):
    """The correlation of ranks of jointly normal x and y of correlation r."""
    return 6 / math.pi * math.asin(r / 2)


def drawn(r, n, samples, seed=1, levels=None):
    """ρ of samples from a Gaussian copula; with y rounded to so many levels where they are given."""
    random = np.random.default_rng(seed)
    x, noise = random.standard_normal((2, samples, n))
    y = r * x + math.sqrt(1 - r**2) * noise
    y = np.floor(scipy.stats.norm.cdf(y) * levels) if levels else y
    a, b = (scipy.stats.rankdata(one, axis=1) - (n + 1) / 2 for one in (x, y))
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return (a * b).sum(1)[size > 0] / size[size > 0]


def coverage(r, n, samples, **drawing):
    interval = functools.cache(lambda rho: spearman_interval(rho, n))
    ends = np.array([interval(round(rho, 9)) for rho in drawn(r, n, samples, **drawing).tolist()])
    return np.mean((ends[:, 0] <= true(r)) & (true(r) <= ends[:, 1]))


def test_its_ends_are_the_correlations_under_which_what_was_found_is_the_last_of_forty():
    for rho, n in ((0.5, 7), (-130 / 143, 12), (1.0, 6)):
        low, high = (2 * math.sin(math.pi / 6 * end) for end in spearman_interval(rho, n))
        above = np.mean(drawn(low, n, 100_000) > rho - 1e-9)
        assert above == pytest.approx(0.025, abs=0.003)
        if rho < 1:
            assert np.mean(drawn(high, n, 100_000) < rho + 1e-9) == pytest.approx(0.025, abs=0.003)


@pytest.mark.parametrize(("rho", "n", "as_large"), [(1.0, 4, 1 / 24), (0.8, 4, 4 / 24), (1.0, 5, 1 / 120)])
def test_one_end_is_0_where_without_an_order_so_many_permutations_are_as_far_out(rho, n, as_large):
    """Of the 24 permutations of four, one has ρ = 1 and three have 0.8; of five, one in 120 has 1."""
    low, high = spearman_interval(rho, n, confidence=1 - 2 * as_large)
    assert low == pytest.approx(0, abs=0.02)
    assert high > rho or rho == 1
    assert spearman_interval(-rho, n, confidence=1 - 2 * as_large) == pytest.approx((-high, -low))


@pytest.mark.parametrize("n", [4, 5, 6, 12, 24, 100, 200, 201, 1000])
@pytest.mark.parametrize("rho", [0.0, 0.6, -0.9999, 1.0])
def test_it_mirrors_and_has_a_width_always(rho, n):
    low, high = spearman_interval(rho, n)
    assert -1 <= low <= rho <= high <= 1
    assert high > low
    assert spearman_interval(-rho, n) == pytest.approx((-high, -low))


def test_it_narrows_with_the_number_of_pairs_also_where_the_formula_changes():
    *widths, at_200, at_201 = (np.ptp(spearman_interval(0.6, n)) for n in (4, 6, 12, 24, 100, 200, 201))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] > 1.3 * at_200
    assert at_201 == pytest.approx(at_200, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, 6, 24])
def test_it_holds_the_true_correlation_in_93_of_100_samples_at_least(n):
    assert min(coverage(r, n, 2000) for r in (0, -0.8, 0.95, 0.999)) >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("n", [*range(4, 25), 30, 60, 200])
def test_it_does_so_whatever_the_number_of_pairs_and_their_correlation(n):
    held = {r: coverage(r, n, 4000, seed=2) for r in (0, 0.3, -0.5, 0.7, 0.8, -0.9, 0.95, 0.98, 0.99, -0.999, 0.9999)}
    assert min(held.values()) >= 0.935, held
    assert np.mean(list(held.values())) <= (1 if n < 9 else 0.975)  # and is hardly wider than it must be


@pytest.mark.slow
@pytest.mark.parametrize("n", [6, 12, 24])
@pytest.mark.parametrize("levels", [4, 8, 30])
def test_it_does_so_where_one_of_the_two_has_ties(n, levels):
    assert min(coverage(r, n, 1000, levels=levels) for r in (0, 0.5, 0.8)) >= 0.93


def test_of_more_than_200_pairs_it_is_bonett_and_wrights():
    """ρ = 0.5, n = 228: artanh 0.5 ± 1.959964·√(1.125/225)."""
    low, high = spearman_interval(0.5, 228)
    assert (low, high) == pytest.approx((math.tanh(0.5493061 - 0.1385904), math.tanh(0.5493061 + 0.1385904)), abs=1e-6)
    assert 0.93 < coverage(-0.8, 300, 1000) < 0.975


# The advantage of one predictor over another.


def predictors(n, seed=0, r=0.95, of_rival=0.5):
    """A predictor and its rival, of these correlations with y, and y."""
    random = np.random.default_rng(seed)
    y, a, b = random.standard_normal((3, n))
    return r * y + math.sqrt(1 - r**2) * a, of_rival * y + math.sqrt(1 - of_rival**2) * b, y


def test_it_is_the_bootstrap_of_ten_lines():
    x, rival, y = predictors(24)
    random = np.random.default_rng(7)
    differences = []
    for _ in range(1000):
        which = random.integers(0, 24, 24)
        rho, of_rival = (scipy.stats.spearmanr(one[which], y[which]).statistic for one in (x, rival))
        differences.append(abs(rho) - abs(of_rival))
    found = advantage(x, -rival, y)
    rho, of_rival = (abs(scipy.stats.spearmanr(one, y).statistic) for one in (x, rival))
    assert found.value == pytest.approx(rho - of_rival)
    assert (found.low, found.high) == pytest.approx(np.quantile(differences, [0.025, 0.975]).tolist(), abs=0.05)
    assert found.resamples == 10_000


def test_what_is_the_better_predictor_by_far_is_clearly_so_and_the_other_way_round():
    x, rival, y = predictors(24, r=0.98, of_rival=0.1)
    assert advantage(x, rival, y).low > 0.2
    assert advantage(rival, x, y).high < -0.2
    assert advantage(-x, rival, y) == advantage(x, rival, y)


def test_resamples_of_one_value_are_left_out():
    """Of three pairs of y = 0 and one of y = 1, (3/4)⁴ + (1/4)⁴ of the resamples have one value of y alone."""
    found = advantage(np.array([3.0, 1.0, 2.0, 4.0]), np.arange(4.0), np.array([0.0, 0.0, 1.0, 0.0]))
    assert found.resamples == pytest.approx(10_000 * (1 - 82 / 256), abs=4 * math.sqrt(10_000 * 0.68 * 0.32))


def test_there_is_no_interval_where_no_resample_differs_and_no_number_without_an_order():
    y = np.arange(6.0)
    both_perfect = advantage(y, -(y**3), y)
    assert both_perfect.value == 0
    assert math.isnan(both_perfect.low)
    assert math.isnan(both_perfect.high)
    for found in (advantage(np.ones(6), y, y), advantage(y, np.ones(6), y), advantage(y[:3], y[:3], y[:3])):
        assert math.isnan(found.value)
        assert found.resamples == 0


@pytest.mark.slow
@pytest.mark.parametrize(("r", "of_rival"), [(0.95, 0.8), (0.8, 0.5), (0.9, 0.9)])
@pytest.mark.parametrize("n", [12, 24])
def test_its_interval_holds_the_true_advantage_in_90_of_100_samples_at_least(n, r, of_rival, monkeypatch):
    monkeypatch.setattr("interp.maths.rank_correlation.RESAMPLES", 1000)
    expected = true(r) - true(of_rival)
    found = [advantage(*predictors(n, seed, r, of_rival)) for seed in range(200)]
    assert np.mean([one.low <= expected <= one.high for one in found]) >= 0.9
