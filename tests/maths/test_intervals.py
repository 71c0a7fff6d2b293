"""Intervals hold what they say as often as they say, counted by drawing."""

from __future__ import annotations

import numpy as np
import pytest

from interp.maths.intervals import median_interval, share_difference_interval, share_interval


@pytest.mark.parametrize("n", [6, 9, 24, 101])
@pytest.mark.parametrize("draw", ["normal", "exponential", "uniform"])
@pytest.mark.slow
def test_the_interval_of_a_median_covers_it_whatever_is_drawn(n: int, draw: str):
    rng = np.random.default_rng(n)
    median = {"normal": 0.0, "exponential": np.log(2), "uniform": 0.5}[draw]
    drawn = getattr(rng, draw)(size=(2000, n))
    held = [low <= median <= high for low, high in map(median_interval, drawn)]
    assert np.mean(held) >= 0.945 - 0.012


def test_of_few_draws_there_is_no_interval_of_the_median():
    assert all(np.isnan(median_interval(np.arange(5.0))))
    assert median_interval(np.arange(6.0)) == (0, 5)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_the_interval_of_a_share_covers_it(share: float):
    counts = np.random.default_rng(0).binomial(45, share, size=4000)
    held = [low <= share <= high for low, high in (share_interval(int(count), 45) for count in counts)]
    assert 0.93 <= np.mean(held) <= 0.98


def test_the_interval_of_a_share_is_wilson_s():
    low, high = share_interval(0, 10)
    assert (low, round(high, 4)) == (0, 0.2775)
    assert share_interval(10, 10)[0] == pytest.approx(1 - 0.2775, abs=1e-4)


def test_the_interval_of_a_difference_of_shares_is_newcombe_s():
    """The first example of Newcombe 1998, 56 of 70 less 48 of 80: 0.0524 to 0.3339 by method 10."""
    assert share_difference_interval((56, 70), (48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("first", "second"), [(0.5, 0.5), (0.9, 0.3), (0.02, 0.4)])
def test_the_interval_of_a_difference_of_shares_covers_it(first: float, second: float):
    rng = np.random.default_rng(0)
    counts = zip(rng.binomial(45, first, 2000).tolist(), rng.binomial(30, second, 2000).tolist(), strict=True)
    ends = [share_difference_interval((one, 45), (other, 30)) for one, other in counts]
    assert 0.93 <= np.mean([low <= first - second <= high for low, high in ends]) <= 0.99
