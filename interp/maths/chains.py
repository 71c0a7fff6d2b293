"""What several chains of draws say of a mean: whether they agree, and how many independent draws they are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Chains = Float[np.ndarray, "chain draw"]

STRICT = 1.2
"""A split R-hat up to here is no reason for doubt (Brooks & Gelman 1998)."""
BY_CHANCE = 0.01
"""Nor is one that independent draws, as many, come to more often than this."""
COVERAGE = 0.95


@dataclass(frozen=True)
class Mean:
    """The mean of draws that hang together, with what is known of it."""

    value: float
    se: float
    """Standard error: √(variance / effective draws)."""
    low: float
    high: float
    """Interval of 95%, by Student's t with one degree of freedom less than there are effective draws."""
    effective: float
    """Independent draws that would know the mean as well."""
    r_hat: float


def mean_of(chains: Chains) -> Mean:
    """The mean of all draws. Each chain needs four draws at least, and one draw has to differ from another."""
    from scipy import stats

    halves = split(chains)
    effective = effective_draws(halves)
    se = math.sqrt(variance(halves) / effective)
    value, reach = float(chains.mean()), float(stats.t.ppf((1 + COVERAGE) / 2, max(effective - 1, 1))) * se
    return Mean(value, se, value - reach, value + reach, effective, r_hat(halves))


def split(chains: Chains) -> Float[np.ndarray, "half half_draw"]:
    """Each chain as two: its first half and its second, without the middle draw of an odd number."""
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def variance(chains: Chains) -> float:
    r"""The variance of one draw, which differences between chains raise: (n - 1)/n W + B/n.

    W is the mean of the chains' variances, B/n the variance of their means (Gelman et al., Bayesian Data Analysis 3,
    section 11.4).
    """
    n = chains.shape[1]
    return float((n - 1) / n * chains.var(axis=1, ddof=1).mean() + chains.mean(axis=1).var(ddof=1))


def r_hat(chains: Chains) -> float:
    r"""√(variance of a draw / W): 1 where all chains are alike, more where they have not come together.

    Paper: Gelman & Rubin 1992; Vehtari et al. 2021, arXiv 1903.08008
    """
    within = float(chains.var(axis=1, ddof=1).mean())
    return math.sqrt(variance(chains) / within) if within else math.inf


def doubtful_r_hat(chains: int, draws: int) -> float:
    """The R-hat of so many chains above which they have not come together: 1.2, or more where draws are few.

    Of independent normal draws R-hat² is (n - 1)/n + F/n, where F has Fisher's distribution of m - 1 and m (n - 1)
    degrees of freedom: what these exceed in 1 of 100 cases is no reason for doubt.
    """
    from scipy import stats

    by_chance = float(stats.f.ppf(1 - BY_CHANCE, chains - 1, chains * (draws - 1)))
    return max(STRICT, math.sqrt((draws - 1 + by_chance) / draws))


def effective_draws(chains: Chains) -> float:
    r"""m n / (1 + 2 Σ_t ρ_t), and m n at most, with ρ_t the correlation of draws t apart over all chains together.

    The sum ends where that of two neighbouring ρ is no longer positive, and these sums are made to fall (Geyer 1992).

    Paper: Vehtari et al. 2021, arXiv 1903.08008
    """
    m, n = chains.shape
    centred = chains - chains.mean(axis=1, keepdims=True)
    lagged = np.array([(centred[:, : n - lag] * centred[:, lag:]).sum(axis=1).mean() / n for lag in range(n)])
    whole = variance(chains)
    rho = 1 - (lagged[0] * n / (n - 1) - lagged * n / (n - 1)) / whole
    total, last = 0.0, math.inf
    for lag in range(0, n - 1, 2):
        pair = float(rho[lag] + rho[lag + 1])
        if pair <= 0:
            break
        last = min(last, pair)
        total += last
    return m * n / max(2 * total - 1, 1.0)
