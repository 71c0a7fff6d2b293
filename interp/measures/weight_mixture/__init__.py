"""How the weights of each parameter are distributed: as one Gaussian, or as a mixture of several.

1. `fits` gathers the samples, the values of each parameter and the Fourier coefficients of those with a vocabulary,
   and fits to each of them mixtures of one to four Gaussians and a symmetric one; it starts also from what was found at
   the checkpoint before.
2. Here the fits become columns over the parameters, and over a run the history of each parameter's phase.
3. `telling` draws and speaks; no number is made there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.maths.histograms import nested_histogram
from interp.maths.mixtures import MAX_COMPONENTS, Fit
from interp.measures.loss import generalised_step
from interp.measures.weight_mixture.fits import fit_all, nothing_stored, samples_of
from interp.measures.weight_mixture.sides import stand_apart
from interp.measures.weight_mixture.telling import figure, summary

__all__ = ["WeightMixture", "figure", "over_run", "summary", "weight_mixture"]

HALF = 64
"""Bins of the histogram on either side of 0."""
CENTRE, SIDE = 1, 2
"""Places of the symmetric mixture's components."""
NO_WEIGHT = 1e-6
"""A centre of no more weight has no variance."""

One = TypeVar("One")


@dataclass(frozen=True)
class WeightMixture:
    parameter: tuple[str, ...]
    """Parameter, or its Fourier coefficients along the vocabulary"""
    component: Int[Tensor, " component"]
    """Component, by ascending mean"""
    bin: Int[Tensor, " bin"]
    """Bin: it begins at so many widths"""
    components: Int[Tensor, " parameter"]
    """Gaussians of the mixture that BIC chooses; 0 where the values are all the same"""
    weight: Float[Tensor, "parameter component"]
    """Weight of each component"""
    weight_se: Float[Tensor, "parameter component"]
    """Standard error of the weight of each component; NaN for an only component"""
    component_mean: Float[Tensor, "parameter component"]
    """Mean of each component"""
    component_mean_se: Float[Tensor, "parameter component"]
    """Standard error of the mean of each component"""
    variance: Float[Tensor, "parameter component"]
    """Variance of each component"""
    variance_se: Float[Tensor, "parameter component"]
    """Standard error of the variance of each component"""
    margin: Float[Tensor, " parameter"]
    """BIC of one Gaussian less that of the mixture [nats]"""
    margin_se: Float[Tensor, " parameter"]
    """Standard error of the margin; NaN where BIC chooses one Gaussian, whose margin over itself is 0 [nats]"""
    margin_per_weight: Float[Tensor, " parameter"]
    """BIC of one Gaussian less that of the mixture, per weight [nats]"""
    margin_per_weight_se: Float[Tensor, " parameter"]
    """Standard error of the margin per weight; NaN where BIC chooses one Gaussian [nats]"""
    mixture: Bool[Tensor, " parameter"]
    """In the mixture phase: the margin per weight is at least the least margin; else in the Gaussian phase"""
    clear: Bool[Tensor, " parameter"]
    """The margin per weight is two of its standard errors or more from the least margin"""
    excess_kurtosis: Float[Tensor, " parameter"]
    """Excess kurtosis; 0 for a Gaussian"""
    excess_kurtosis_se: Float[Tensor, " parameter"]
    """Standard error of the excess kurtosis"""
    fit_distance: Float[Tensor, " parameter"]
    """Largest difference between the distribution functions of values and mixture"""
    fit_chi_squared: Float[Tensor, " parameter"]
    """Chi-squared of the fit over its degrees of freedom; about 1 where it is right"""
    fit_p_value: Float[Tensor, " parameter"]
    """Chance of a larger chi-squared, were the values independent draws from the mixture"""
    centre_weight: Float[Tensor, " parameter"]
    """Weight of the centre of the symmetric mixture; no numbers of it where BIC prefers one Gaussian"""
    centre_weight_se: Float[Tensor, " parameter"]
    """Standard error of the weight of the centre"""
    side_mean: Float[Tensor, " parameter"]
    """Distance of the sides of the symmetric mixture from 0"""
    side_mean_se: Float[Tensor, " parameter"]
    """Standard error of the distance of the sides"""
    centre_variance: Float[Tensor, " parameter"]
    """Variance of the centre of the symmetric mixture"""
    centre_variance_se: Float[Tensor, " parameter"]
    """Standard error of the variance of the centre"""
    side_variance: Float[Tensor, " parameter"]
    """Variance of each side of the symmetric mixture"""
    side_variance_se: Float[Tensor, " parameter"]
    """Standard error of the variance of the sides"""
    symmetric_margin_per_weight: Float[Tensor, " parameter"]
    """BIC of one Gaussian less that of the symmetric mixture, per weight [nats]"""
    symmetric_margin_per_weight_se: Float[Tensor, " parameter"]
    """Standard error of that margin per weight [nats]"""
    histogram: Int[Tensor, "parameter bin"]
    """Values in each bin"""
    bin_width: Float[Tensor, " parameter"]
    """Width of a bin, a power of two"""
    test_accuracy: Float[Tensor, ""] | None
    """Share of the test examples answered right"""
    _fits: Float[np.ndarray, "parameter fit number component"]
    """Weights, means and variances of the best mixtures of 1, 2, … components, and of the symmetric one"""


def weight_mixture(
    checkpoint: Checkpoint, least_margin: NonNegativeFloat = 0.1, previous: WeightMixture | None = None
) -> WeightMixture:
    r"""Feature learning is said to turn one Gaussian of weights into a mixture of several.

    Rubin et al. expect one Gaussian about 0 before grokking, and after it a centre with two sides at ±μ. Look at the
    Fourier coefficients of the embedding and the unembedding beside the weights themselves: that is where the features
    of modular addition are. On the logarithmic axis of the histograms one Gaussian is a parabola; the thick line is
    the mixture, the thin ones its components.

    Sides among the weights themselves need not be features. AdamW's steps hardly depend on the size of a gradient, so
    weights whose gradient keeps its sign come to lie equally far from 0: those of W_Q do, on both sides, from early on.

    Mixtures of one to four Gaussians are fitted by maximum likelihood to the values of each parameter, and BIC chooses
    between them. What it finds significant may be slight, as its margin over one Gaussian grows with the number of
    values. So a parameter counts as being in the mixture phase where the margin is at least `least_margin` per weight,
    by default 0.1 nats; two equal Gaussians have that margin when they are 2.8 deviations apart, and two halves about
    one mean when one is 2.6 times as wide as the other. BIC counts each nat of log-likelihood twice.

    The phase of a parameter changed at the step from which it is that of the last step. How well this step is known
    follows from the standard error of the margin: the change lies after the last step at which the margin was two
    standard errors on the other side of the least margin, and not after the first at which it is as far on this side.

    The symmetric mixture has numbers where BIC prefers it to one Gaussian. Its sides are said to stand apart where the
    density between them and 0 falls to half of its height at them, or less.

    The distributions `fourier_W_E` and `fourier_W_U` are Fourier coefficients along the residues, in the order in which
    the task is cyclic and without the constant; tasks without such an order have none. Parameters of fewer than 64
    values are left out, as are coefficients that are fewer, and there are no numbers where all values are the same. No
    component may be narrower than a hundredth of the values' deviation: a cluster of near-zeros counts as a component,
    but how narrow it is does not make the margin grow without end.

    Standard errors, from the observed information, and the p-value are right for independent draws. Weights are not
    independent, nor is a mixture ever quite right: take both for a guide. An error is missing where the likelihood does
    not determine a number, for example that of a component without weight or of the least width, and where nothing is
    estimated: the weight of an only Gaussian is 1, and its margin over itself is 0. With many values the
    p-value is 0 for a fit that is hardly off; the distance tells how far it is off. The search begins from many starts,
    and from the answer at the checkpoint before, which wins where it leads to more likelihood. Nothing is drawn at
    random.

    Formula: p(x) = \sum_{k=1}^{K} \pi_k \mathcal{N}(x; \mu_k, \sigma_k^2)

    Formula: \text{margin} = \mathrm{BIC}_1 - \mathrm{BIC}_K, \quad \mathrm{BIC}_K = -2 \log L_K + (3K - 1) \log n

    Formula: \text{symmetric: } \pi_0 \mathcal{N}(0, \sigma_0^2)
        + \tfrac{1 - \pi_0}{2} \left[ \mathcal{N}(\mu, \sigma_1^2) + \mathcal{N}(-\mu, \sigma_1^2) \right]

    Paper: Rubin, Seroussi & Ringel 2024, arXiv 2310.03789
    """
    samples = samples_of(checkpoint)
    fits = fit_all(samples, dict(zip(previous.parameter, previous._fits, strict=True)) if previous else {})
    if not any(fits):
        raise NothingToSay("no parameter has enough different values to fit a distribution to")
    best = [one and one.best for one in fits]
    symmetric = [one and one.preferred_symmetric for one in fits]
    margins = [one and one.margin(one.best) for one in fits]
    symmetric_margins = [one and one.margin(one.symmetric) for one in fits]
    per_weight = _column(margins, lambda margin: margin.per_weight)
    per_weight_se = _column(margins, lambda margin: margin.per_weight_se)
    centre_weight = _column(symmetric, lambda fit: fit.mixture.weight[CENTRE])
    histograms, widths = zip(*(nested_histogram(values, HALF) for values in samples.values()), strict=True)
    return WeightMixture(
        parameter=tuple(samples),
        component=torch.arange(MAX_COMPONENTS),
        bin=torch.arange(-HALF, HALF),
        components=torch.tensor([one.mixture.components if one else 0 for one in best]),
        weight=_by_component(best, lambda fit: fit.mixture.weight),
        weight_se=_by_component(best, lambda fit: fit.weight_se),
        component_mean=_by_component(best, lambda fit: fit.mixture.mean),
        component_mean_se=_by_component(best, lambda fit: fit.mean_se),
        variance=_by_component(best, lambda fit: fit.mixture.variance),
        variance_se=_by_component(best, lambda fit: fit.variance_se),
        margin=_column(margins, lambda margin: margin.value),
        margin_se=_column(margins, lambda margin: margin.se),
        margin_per_weight=per_weight,
        margin_per_weight_se=per_weight_se,
        # one Gaussian is none, also where the least margin is 0, as its own is
        mixture=torch.tensor([bool(one and one.mixture.components > 1) for one in best]) & (per_weight >= least_margin),
        # one Gaussian's margin over itself is 0 without an error
        clear=(per_weight - least_margin).abs() >= 2 * per_weight_se.nan_to_num(nan=0),
        excess_kurtosis=_column(fits, lambda one: one.kurtosis[0]),
        excess_kurtosis_se=_column(fits, lambda one: one.kurtosis[1]),
        fit_distance=_column(fits, lambda one: one.goodness.distance),
        fit_chi_squared=_column(fits, lambda one: one.goodness.statistic),
        fit_p_value=_column(fits, lambda one: one.goodness.p_value),
        centre_weight=centre_weight,
        centre_weight_se=_column(symmetric, lambda fit: fit.weight_se[CENTRE]),
        side_mean=_column(symmetric, lambda fit: fit.mixture.mean[SIDE]),
        side_mean_se=_column(symmetric, lambda fit: fit.mean_se[SIDE]),
        centre_variance=_column(symmetric, lambda fit: fit.mixture.variance[CENTRE]).where(
            centre_weight > NO_WEIGHT, torch.nan
        ),
        centre_variance_se=_column(symmetric, lambda fit: fit.variance_se[CENTRE]),
        side_variance=_column(symmetric, lambda fit: fit.mixture.variance[SIDE]),
        side_variance_se=_column(symmetric, lambda fit: fit.variance_se[SIDE]),
        symmetric_margin_per_weight=_column(symmetric_margins, lambda margin: margin.per_weight),
        symmetric_margin_per_weight_se=_column(symmetric_margins, lambda margin: margin.per_weight_se),
        histogram=torch.from_numpy(np.stack(histograms)),
        bin_width=torch.tensor(widths, dtype=torch.float64),
        test_accuracy=_test_accuracy(checkpoint),
        _fits=np.stack([one.stored() if one else nothing_stored() for one in fits]),
    )


def _test_accuracy(checkpoint: Checkpoint) -> Float[Tensor, ""] | None:
    """None where the loss has nothing to say: the outputs overflow."""
    try:
        return checkpoint.measure("loss").test_accuracy
    except NothingToSay:
        return None


def _column(several: Sequence[One | None], number: Callable[[One], float]) -> Float[Tensor, " parameter"]:
    """Return a number of each parameter, NaN where there is nothing to take it from."""
    return torch.tensor([torch.nan if one is None else number(one) for one in several], dtype=torch.float64)


def _by_component(
    fits: Sequence[Fit | None], numbers: Callable[[Fit], Float[np.ndarray, " own"]]
) -> Float[Tensor, "parameter component"]:
    """Return the numbers of each parameter's components, filled up with NaN."""
    found = torch.full((len(fits), MAX_COMPONENTS), torch.nan, dtype=torch.float64)
    for row, fit in zip(found, fits, strict=True):
        if fit is not None:
            row[: fit.mixture.components] = torch.from_numpy(numbers(fit))
    return found


@dataclass(frozen=True)
class Phases:
    changed_step: Int[np.ndarray, " parameter"]
    """Step from which it is for good in the phase of the last step; -1 where it was never in the other"""
    changed_earliest: Int[np.ndarray, " parameter"]
    """The step after the last at which it was clearly in the other phase; -1 where there is none"""
    changed_latest: Int[np.ndarray, " parameter"]
    """The first step after that at which it was clearly in the phase of the last; -1 where there is none"""
    farthest_step: Int[np.ndarray, " parameter"]
    """Step of the largest margin per weight; -1 where there is none"""
    farthest_margin: Float[np.ndarray, " parameter"]
    """Largest margin per weight [nats]"""
    sides_apart: Bool[np.ndarray, " parameter"]
    """At the last step the density falls to half of its height between 0 and the sides of the symmetric mixture"""
    distributions: int
    """Distributions that have enough different values to be fitted at the last step"""
    mixtures: int
    """How many of them are in the mixture phase at the last step"""
    late_mixtures: int
    """How many of these only since the step at which the network generalised"""
    generalised_step: float
    """First step at which all but 1% of the test examples are right; NaN where there is none"""


def over_run(result: xr.Dataset) -> Phases:
    steps, margin = result.step.values, result.margin_per_weight.values  # [step], [step, parameter]
    phase, clear = result.mixture.values.astype(bool), result.clear.values.astype(bool)
    changed, earliest, latest, farthest = np.full((4, margin.shape[1]), -1)
    for place in range(margin.shape[1]):
        known = np.isfinite(margin[:, place])
        if not known.any():
            continue
        at, own, sure = steps[known], phase[known, place], clear[known, place]
        differs = own != own[-1]
        changed[place] = _after_the_last(at, differs)
        earliest[place] = _after_the_last(at, differs & sure)
        at_last = at[(at >= earliest[place]) & sure & ~differs]
        latest[place] = at_last[0] if differs.any() and len(at_last) else -1
        farthest[place] = at[margin[known, place].argmax()]
    largest = np.where(np.isfinite(margin), margin, -np.inf).max(axis=0)
    fitted = np.isfinite(margin[-1])
    mixtures = fitted & phase[-1]
    generalised = generalised_step(result)
    return Phases(
        changed_step=changed,
        changed_earliest=earliest,
        changed_latest=latest,
        farthest_step=farthest,
        farthest_margin=np.where(np.isfinite(largest), largest, np.nan),
        sides_apart=fitted & np.array([stand_apart(result.isel(parameter=place)) for place in range(len(fitted))]),
        distributions=int(fitted.sum()),
        mixtures=int(mixtures.sum()),
        late_mixtures=0 if generalised is None else int((mixtures & (changed >= generalised)).sum()),
        generalised_step=np.nan if generalised is None else float(generalised),
    )


def _after_the_last(steps: Int[np.ndarray, " step"], marked: Bool[np.ndarray, " step"]) -> int:
    """Return the step after the last that is marked; -1 where none is, or none comes after it."""
    places = np.flatnonzero(marked)
    return int(steps[places[-1] + 1]) if len(places) and places[-1] + 1 < len(steps) else -1
