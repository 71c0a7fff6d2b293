"""Spearman's rank correlation with a confidence interval."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

FEWEST = 4
"""Fewer pairs than this have no interval."""


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """The correlation of the ranks, ties at their mean rank; NaN for fewer than four pairs or all of one rank."""
    from scipy.stats import rankdata

    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def spearman_interval(rho: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Bonett & Wright 2000: tanh(artanh ρ ± z √((1 + ρ²/2)/(n - 3))); NaN where there is no ρ, ±1 where it is ±1."""
    from scipy.stats import norm

    if math.isnan(rho) or n < FEWEST:
        return math.nan, math.nan
    if abs(rho) > 1 - 1e-12:  # but for rounding
        return rho, rho
    reach = float(norm.ppf((1 + confidence) / 2)) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - reach), math.tanh(math.atanh(rho) + reach)
