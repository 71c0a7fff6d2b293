"""What a fit returns, a mixture and how well it is known, and the parameters in which the search moves.

The search moves in `theta` [problem, 3, component]: logarithms of the weights up to a constant, means, and logarithms
of the variances, in the units of a sample whose standard deviation is 1. A problem is a sample, or a start of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

NARROWEST = 1e-2
"""The least standard deviation of a component, in those of the sample: without one the likelihood of a mixture has no
maximum, as a component may shrink onto a single value."""
LOG_2_PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Mixture:
    """Components in ascending order of their means; of equal means the narrower first."""

    weight: Float[np.ndarray, " component"]
    mean: Float[np.ndarray, " component"]
    variance: Float[np.ndarray, " component"]

    @property
    def components(self) -> int:
        return len(self.weight)

    def log_density(self, values: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
        """Return the logarithm of the density at each value [nats]."""
        total = np.full(len(values), -np.inf)
        for weight, mean, variance in zip(self.weight, self.mean, self.variance, strict=True):
            log_weight = math.log(weight) if weight > 0 else -math.inf
            one = -0.5 * (values - mean) ** 2 / variance + (log_weight - 0.5 * (LOG_2_PI + math.log(variance)))
            total = one if self.components == 1 else np.logaddexp(total, one)
        return total

    def cumulative(self, places: Float[np.ndarray, " place"]) -> Float[np.ndarray, "component place"]:
        """Return each component's share of the distribution function; their sum is that of the mixture."""
        from scipy.special import ndtr

        deviation = np.sqrt(self.variance)[:, None]
        return self.weight[:, None] * ndtr((places - self.mean[:, None]) / deviation)


@dataclass(frozen=True)
class Fit:
    """The mixture of greatest likelihood, and how well it is known."""

    mixture: Mixture
    log_density: Float[np.ndarray, " value"]
    """The logarithm of the mixture's density at each value, in the order given [nats]"""
    weight_se: Float[np.ndarray, " component"]
    mean_se: Float[np.ndarray, " component"]
    variance_se: Float[np.ndarray, " component"]
    """Standard errors; NaN where the likelihood does not curve downwards, a variance is the least allowed, or a number
    is no estimate, as the weight of an only component"""
    parameters: int
    """How many numbers were fitted freely"""

    @property
    def log_likelihood(self) -> float:
        """The log-likelihood of all values together [nats]."""
        return float(self.log_density.sum())

    @property
    def bic(self) -> float:
        """The Bayesian information criterion, -2 log L + parameters · log n [nats]; the least is chosen."""
        return -2 * self.log_likelihood + self.parameters * math.log(len(self.log_density))


def weights(theta: Float[np.ndarray, "problem 3 component"]) -> Float[np.ndarray, "problem component"]:
    """Return the weights that sum to 1, of which `theta` holds the logarithms up to a constant."""
    unscaled = np.exp(theta[:, 0] - theta[:, 0].max(axis=1, keepdims=True))
    return unscaled / unscaled.sum(axis=1, keepdims=True)
