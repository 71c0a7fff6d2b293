"""How well a mixture describes the sample it was fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from interp.maths.mixtures import Mixture

QUADRATURE = 4000
"""Equal shares of each component over which Fisher's information is summed."""


@dataclass(frozen=True)
class GoodnessOfFit:
    distance: float
    """Kolmogorov's: the largest difference of the two distribution functions"""
    statistic: float
    """Chi-squared of Rao, Robson and Nikulin, over its degrees of freedom: about 1 where the fit is right"""
    p_value: float


def goodness_of_fit(values: Float[np.ndarray, " value"], mixture: Mixture) -> GoodnessOfFit:
    r"""How well a mixture fits the sample to which it was fitted by maximum likelihood.

    Parameters fitted to a sample bring the fit nearer to it than the truth is, so that neither Kolmogorov's distance
    nor Pearson's chi-squared has the p-value of its table. The statistic of Rao and Robson adds back what the fit took
    away, and has a chi-squared distribution with cells - 1 degrees of freedom whatever was fitted by maximum
    likelihood. The 2 n^(2/5) cells hold equal shares of the mixture. The p-value is the chance of a worse fit were the
    values independent draws from such a mixture.

    Formula: Y^2 = V^\top V + V^\top B (I - B^\top B)^{-1} B^\top V, \quad V_j = \frac{N_j - n p_j}{\sqrt{n p_j}},
        \quad B_{jl} = \frac{1}{\sqrt{p_j}} \frac{\partial p_j}{\partial \theta_l}, \quad I \text{ Fisher's information}

    Paper: Rao & Robson 1974; Moore & Spruill 1975, The Annals of Statistics 3
    """
    from scipy.special import chdtrc

    ordered = np.sort(values)
    n = len(ordered)
    below = mixture.cumulative(ordered).sum(axis=0)
    rank = np.arange(n) / n
    distance = float(max(np.max(below - rank), np.max(rank + 1 / n - below)))
    cells = int(2 * n**0.4)
    edges = np.unique(np.interp(np.arange(1, cells) / cells, below, ordered))
    counts = np.diff(np.searchsorted(ordered, edges), prepend=0, append=n)
    share, slopes = _cells(mixture, edges)
    V = (counts - n * share) / np.sqrt(n * share)
    B = slopes / np.sqrt(share)[:, None]
    information = _information(mixture)
    pull = B.T @ V
    statistic = float(V @ V + pull @ np.linalg.lstsq(information - B.T @ B, pull, rcond=1e-9)[0])
    freedom = len(counts) - 1
    return GoodnessOfFit(distance, statistic / freedom, float(chdtrc(freedom, statistic)))


def _cells(
    mixture: Mixture, edges: Float[np.ndarray, " edge"]
) -> tuple[Float[np.ndarray, " cell"], Float[np.ndarray, "cell parameter"]]:
    """The mixture's share of each cell between `edges`, and its slope in the weights (but the last, which follows from
    the others), the means and the log deviations.
    """
    cumulative = mixture.cumulative(edges)  # [component, edge]
    deviation = np.sqrt(mixture.variance)[:, None]
    z = (edges - mixture.mean[:, None]) / deviation
    density = mixture.weight[:, None] * np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    of_weight = cumulative / mixture.weight[:, None]
    slopes = np.concatenate([of_weight[:-1] - of_weight[-1], -density / deviation, -density * z])
    share = np.diff(cumulative.sum(axis=0), prepend=0, append=1)
    return np.maximum(share, 1e-300), np.diff(slopes, axis=1, prepend=0, append=0).T


def _information(mixture: Mixture) -> Float[np.ndarray, "parameter parameter"]:
    """Fisher's, of one value: that of a very fine grouping."""
    from scipy.special import ndtri

    levels = ndtri((np.arange(QUADRATURE - 1) + 1) / QUADRATURE)
    edges = np.unique((mixture.mean[:, None] + np.sqrt(mixture.variance)[:, None] * levels).ravel())
    share, slopes = _cells(mixture, edges)
    held = share > 1e-14
    return (slopes[held] / share[held, None]).T @ slopes[held]
