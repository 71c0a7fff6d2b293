"""Intervals that hold whatever the distribution of what was drawn."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import binom, norm


def share_interval(count: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, of which `count` among `of` independent draws are evidence.

    Formula: (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n), z the normal quantile (Wilson 1927).
    """
    z = float(norm.ppf((1 + level) / 2))
    share = count / of
    middle = share + z**2 / (2 * of)
    reach = z * math.sqrt(share * (1 - share) / of + z**2 / (4 * of**2))
    return max(0.0, (middle - reach) / (1 + z**2 / of)), min(1.0, (middle + reach) / (1 + z**2 / of))


def share_difference_interval(one: tuple[int, int], other: tuple[int, int], level: float = 0.95) -> tuple[float, float]:
    """Newcombe's interval of a share less another, each given as (count, of), of independent draws.

    Formula: d - √((p₁-l₁)² + (u₂-p₂)²) to d + √((u₁-p₁)² + (p₂-l₂)²), l and u Wilson's ends (Newcombe 1998, method 10).
    """
    first, second = one[0] / one[1], other[0] / other[1]
    (low_1, high_1), (low_2, high_2) = share_interval(*one, level), share_interval(*other, level)
    difference = first - second
    below = math.hypot(first - low_1, high_2 - second)
    return difference - below, difference + math.hypot(high_1 - first, second - low_2)


def median_interval(values: Float[np.ndarray, " draw"], level: float = 0.95) -> tuple[float, float]:
    """The interval between two order statistics that holds the median of what was drawn from, with at least `level`.

    Of n draws the number below the median is binomial with n and 1/2, whatever the distribution. NaN where so few draws
    (fewer than six for 95%) have no such interval.
    """
    ordered = np.sort(np.asarray(values, float))
    n = len(ordered)
    below = int(binom.ppf((1 - level) / 2, n, 0.5))
    while below > 0 and binom.cdf(below - 1, n, 0.5) > (1 - level) / 2:
        below -= 1
    if below < 1:
        return math.nan, math.nan
    return float(ordered[below - 1]), float(ordered[n - below])
