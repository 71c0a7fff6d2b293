r"""O-information: whether several variables say the same thing, or say together what none says alone.

    Ω(Z) = (n - 2) H(Z) + Σ_j [H(Z_j) - H(Z without Z_j)]

is positive where redundancy prevails and negative where synergy does, and 0 for two variables (Rosas et al. 2019).
Entropies are those of a Gaussian copula: each variable is replaced by the normal scores of its ranks, of which
H = ½ ln((2πe)ⁿ |Σ|); a sample's is too small on average by a known number, which is added (Ince et al. 2017).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri, psi
from scipy.stats import rankdata

Subset = tuple[int, ...]


@dataclass(frozen=True)
class Multiplet:
    """Some of the variables, and their O-information in nats."""

    members: Subset
    information: float


def normal_scores(values: Float[np.ndarray, "sample variable"]) -> Float[np.ndarray, "sample variable"]:
    """Each variable's ranks as quantiles of a normal distribution; values that are alike have their mean rank."""
    return ndtri(rankdata(values, axis=0) / (len(values) + 1))


def gaussian_entropies(covariance: Float[np.ndarray, "variable variable"], samples: int | None) -> dict[Subset, float]:
    """The entropy of every set of the variables, in nats; corrected where the covariance is that of so many samples.

    The entropy of variables that depend on one another linearly is -∞.
    """
    found: dict[Subset, float] = {(): 0.0}
    for size in range(1, len(covariance) + 1):
        subsets = list(itertools.combinations(range(len(covariance)), size))
        places = np.array(subsets)
        signs, logs = np.linalg.slogdet(covariance[places[:, :, None], places[:, None, :]])
        bias = 0.0 if samples is None else _bias(size, samples)
        entropies = (size * (math.log(2 * math.pi) + 1) + np.where(signs > 0, logs, -np.inf)) / 2 - bias
        found |= dict(zip(subsets, entropies.tolist(), strict=True))
    return found


def _bias(size: int, samples: int) -> float:
    """By how much the entropy of a sample of a Gaussian of so many variables is too small, as a negative number."""
    halves = psi((samples - np.arange(1, size + 1)) / 2).sum() / 2
    return float(halves + size / 2 * math.log(2 / (samples - 1)))


def o_information_of(entropies: Mapping[Subset, float], members: Subset) -> float:
    """The O-information of these variables; NaN where they depend on one another linearly."""
    without = sum(entropies[(one,)] - entropies[tuple(other for other in members if other != one)] for one in members)
    total = (len(members) - 2) * entropies[members] + without
    return total if math.isfinite(total) else math.nan


def multiplets(entropies: Mapping[Subset, float], least: int = 3) -> list[Multiplet]:
    """Every set of at least so many variables that has an O-information, by it, the most synergistic first."""
    found = [Multiplet(members, o_information_of(entropies, members)) for members in entropies if len(members) >= least]
    return sorted((one for one in found if not math.isnan(one.information)), key=lambda one: one.information)
