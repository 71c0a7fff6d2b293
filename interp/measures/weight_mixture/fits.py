"""The samples of a checkpoint, each parameter's values and Fourier coefficients, and the mixtures fitted to them."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.contracts.architecture import reads_two_operands
from interp.errors import NothingToSay
from interp.maths import fourier
from interp.maths.goodness_of_fit import GoodnessOfFit, goodness_of_fit
from interp.maths.mixtures import MAX_COMPONENTS, Fit, Mixture, fit_mixtures, fit_symmetric
from interp.maths.moments import excess_kurtosis
from interp.maths.standard_error import alike
from interp.measures.shared.cyclic import residues

FEWEST = 64
"""Parameters of fewer values are left out: BIC says little of them."""
LEAST_SPAN, LARGEST_SPAN = 1e-100, 1e100
"""The least and the largest difference of two values that are fitted: beyond, squares are lost or overflow."""
ROUNDING = 1e-12
"""Coefficients below this share of the largest weight are nothing but rounding."""
FOURIER = "fourier_"
"""What the names of Fourier coefficients begin with."""

Stored = Float[np.ndarray, "fit number component"]
"""Weights, means and variances of the mixtures of 1, 2, … Gaussians and of the symmetric one, filled up with NaN."""


@dataclass(frozen=True)
class Margin:
    """BIC of one Gaussian less that of a mixture, and its standard error [nats]."""

    value: float
    se: float
    weights: int
    """How many values were fitted"""

    @property
    def per_weight(self) -> float:
        return self.value / self.weights

    @property
    def per_weight_se(self) -> float:
        return self.se / self.weights


@dataclass(frozen=True)
class Fits:
    """The mixtures fitted to the values of one parameter."""

    values: Float[np.ndarray, " value"]
    plain: Sequence[Fit]
    """The best mixtures of 1, 2, … Gaussians."""
    symmetric: Fit
    """The best mixture of a centre and two equal sides at ±μ; its components are side, centre, side."""

    @functools.cached_property
    def best(self) -> Fit:
        """The one that BIC chooses among the plain ones."""
        return min(self.plain, key=lambda fit: fit.bic)

    @property
    def preferred_symmetric(self) -> Fit | None:
        """The symmetric mixture where BIC prefers it to one Gaussian."""
        return self.symmetric if self.symmetric.bic < self.plain[0].bic else None

    @functools.cached_property
    def goodness(self) -> GoodnessOfFit:
        return goodness_of_fit(self.values, self.best.mixture)

    @functools.cached_property
    def kurtosis(self) -> tuple[float, float]:
        """The excess kurtosis and its standard error."""
        return excess_kurtosis(self.values)

    def margin(self, mixture: Fit) -> Margin:
        """Return the margin over one Gaussian, with Vuong's error of twice the difference of the log-likelihoods.

        There is no error where no value is likelier in one than in the other, as of one Gaussian's margin over itself.
        """
        single = self.plain[0]
        gains = mixture.log_density - single.log_density
        error = math.nan if alike(gains) else 2 * math.sqrt(len(gains) * float(np.var(gains)))
        return Margin(single.bic - mixture.bic, error, len(gains))

    def stored(self) -> Stored:
        found = nothing_stored()
        for place, one in enumerate([*self.plain, self.symmetric]):
            found[place, :, : one.mixture.components] = one.mixture.weight, one.mixture.mean, one.mixture.variance
        return found


def nothing_stored() -> Stored:
    return np.full((MAX_COMPONENTS + 1, 3, MAX_COMPONENTS), np.nan)


def fit_all(samples: Mapping[str, Float[np.ndarray, " value"]], before: Mapping[str, Stored]) -> list[Fits | None]:
    """Fit mixtures to every sample; None for a sample whose values are all the same, or too large or small to square.

    `before` holds what was stored at the checkpoint before: the search starts from there too.
    """
    varying = {
        name: values
        for name, values in samples.items()
        if max(1e-6 * np.abs(values).max(), LEAST_SPAN) < np.ptp(values) < LARGEST_SPAN
    }
    given = [[Mixture(*one[:, np.isfinite(one[0])]) for one in before.get(name, nothing_stored())] for name in varying]
    plain = fit_mixtures(list(varying.values()), [one[:-1] for one in given])
    symmetric = fit_symmetric(list(varying.values()), [one[-1] for one in given])
    found = dict(zip(varying, map(Fits, varying.values(), plain, symmetric), strict=True))
    return [found.get(name) for name in samples]


def samples_of(checkpoint: Checkpoint) -> dict[str, Float[np.ndarray, " value"]]:
    """Return the values of each parameter, and the Fourier coefficients of those with a vocabulary, by name.

    Those of fewer than `FEWEST` values are left out.
    """
    weights = {name: checkpoint.weights[name].cpu().double() for name in checkpoint.run.architecture.shapes}
    found = weights | _coefficients(checkpoint, weights)
    return {name: value.flatten().numpy() for name, value in found.items() if value.numel() >= FEWEST}


def _coefficients(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the Fourier coefficients along the residues, but for the constant, of every table of tokens.

    There are none where the task has no cyclic order. What is nothing but rounding is 0.
    """
    try:
        axis, architecture = residues(checkpoint.task), reads_two_operands(checkpoint.run.architecture)
    except NothingToSay:
        return {}
    found = {}
    for name, tables in architecture.residue_tables(weights).items():
        waves = fourier.basis(len(axis))[1:] @ tables[:, axis]  # [table, basis, d]
        found[fourier_name(name)] = waves.where(waves.abs() > ROUNDING * weights[name].abs().max(), 0)
    return found


def has_vocabulary(name: str) -> bool:
    """Whether a parameter is a table with a row, or a column, for each token."""
    return re.search(r"\.W_[EU]$", name) is not None


def fourier_name(name: str) -> str:
    """Return what its Fourier coefficients are called: embed.W_E -> fourier_W_E, embed_a.W_E -> fourier_W_E_a."""
    module, _, short = name.rpartition(".")
    return FOURIER + short + module.removeprefix("unembed").removeprefix("embed")
