"""A sample in units of its own, and its values gathered into bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp.maths.mixtures.mixture import NARROWEST, Fit, Mixture, weights


class Sample:
    """Values with mean 0 (unless they are to stay where they are) and standard deviation 1, and the way back."""

    def __init__(self, values: Float[np.ndarray, " value"], centred: bool = True) -> None:
        self.values = values
        self.shift = float(values.mean()) if centred else 0.0
        self.scale = float(np.sqrt(np.mean((values - self.shift) ** 2)))
        self.sorted = np.sort((values - self.shift) / self.scale)

    def bins(self, cuts: int) -> Bins:
        """Return one problem: the values between `cuts` cuts, half at equal distances and half at equal counts."""
        n = len(self.sorted)
        places = np.linspace(self.sorted[0], self.sorted[-1], cuts // 2 + 1)
        at_counts = np.linspace(0, n, cuts // 2 + 1)[:-1].astype(np.int64)
        starts = np.unique(np.concatenate([np.searchsorted(self.sorted, places[:-1]), at_counts]))
        count = np.diff(starts, append=n).astype(np.float64)
        mean = np.add.reduceat(self.sorted, starts) / count
        deviation = self.sorted - np.repeat(mean, count.astype(np.int64))
        return Bins(count[None] / n, mean[None], np.add.reduceat(deviation**2, starts)[None] / count)

    def standardised(self, mixture: Mixture) -> Float[np.ndarray, "3 component"]:
        """Return the parameters of a mixture of the values, for the search."""
        log_variance = np.log(np.maximum(mixture.variance / self.scale**2, NARROWEST**2))
        return np.stack(
            [np.log(np.maximum(mixture.weight, 1e-12)), (mixture.mean - self.shift) / self.scale, log_variance]
        )

    def fit(
        self, theta: Float[np.ndarray, "3 component"], errors: Float[np.ndarray, "3 component"], parameters: int
    ) -> Fit:
        """Return what the search found, in the units of the values, its components in order."""
        order = np.lexsort((theta[2], theta[1]))
        weight, (_, mean, log_variance) = weights(theta[None])[0][order], theta[:, order]
        variance = np.exp(log_variance) * self.scale**2
        mixture = Mixture(weight, self.shift + self.scale * mean, variance)
        units = np.array([1.0, self.scale, self.scale**2])[:, None]
        in_units = errors[:, order] * units / math.sqrt(len(self.values))  # [(weight, mean, variance), component]
        return Fit(mixture, mixture.log_density(self.values), *in_units, parameters=parameters)


@dataclass(frozen=True)
class Bins:
    """The share of a problem's values in every bin, and the mean and variance of those in it."""

    share: Float[np.ndarray, "problem bin"]
    mean: Float[np.ndarray, "problem bin"]
    variance: Float[np.ndarray, "problem bin"]

    @staticmethod
    def stacked(several: Sequence[Bins]) -> Bins:
        """Return several problems as one object, each filled up with empty bins to the largest number of them."""
        width = max(one.share.shape[1] for one in several)

        def filled(arrays: list[np.ndarray]) -> np.ndarray:
            return np.concatenate([np.pad(array, ((0, 0), (0, width - array.shape[1]))) for array in arrays])

        return Bins(*(filled([getattr(one, name) for one in several]) for name in ("share", "mean", "variance")))

    def reflected(self) -> Bins:
        """Return the values and their negatives, each half: a symmetric density has the same likelihood on both."""
        return Bins(
            np.concatenate([self.share, self.share], axis=1) / 2,
            np.concatenate([self.mean, -self.mean], axis=1),
            np.concatenate([self.variance, self.variance], axis=1),
        )

    def chosen(self, problems: np.ndarray) -> Bins:
        """Return the problems of these numbers, or those that a mask keeps."""
        return Bins(self.share[problems], self.mean[problems], self.variance[problems])
