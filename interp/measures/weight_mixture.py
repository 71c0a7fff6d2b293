"""The distribution of the weights."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Curves, Density, Heatmap, Table
from interp.maths import fourier
from interp.maths.goodness_of_fit import goodness_of_fit
from interp.maths.histograms import nested_histogram
from interp.maths.mixtures import MAX_COMPONENTS, Fit, Mixture, fit_mixtures, fit_symmetric
from interp.maths.moments import excess_kurtosis
from interp.measures.loss import generalised_step
from interp.summaries import Summary, number

FEWEST = 64
"""Parameters of fewer values are left out: BIC says little of them."""
LEAST_SPAN, LARGEST_SPAN = 1e-100, 1e100
"""Between the least and the largest value; of others the squares are lost or overflow."""
ROUNDING = 1e-12
"""Of a coefficient, as a share of the largest weight."""
HALF = 64
"""Bins of the histogram on either side of 0."""
REACH, PLACES = 5.0, 41
"""How far from its mean a component is drawn, in deviations, and at how many places."""
FEW_NAMES = 4
FOURIER = "fourier_"
DECADES = "Margin per weight of each parameter, in decades above 0.001 nats"


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
    """Standard error of the weight of each component"""
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
    """Standard error of the margin [nats]"""
    margin_per_weight: Float[Tensor, " parameter"]
    """BIC of one Gaussian less that of the mixture, per weight [nats]"""
    margin_per_weight_se: Float[Tensor, " parameter"]
    """Standard error of the margin per weight [nats]"""
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
    test_accuracy: Float[Tensor, ""]
    """Share of the test pairs answered right"""
    _fits: Float[np.ndarray, "parameter fit number component"]
    """Weights, means and variances of the best mixtures of 1, 2, … components, and of the symmetric one"""


def weight_mixture(
    checkpoint: Checkpoint,
    least_margin: NonNegativeFloat = 0.1,
    previous: WeightMixture | None = None,
) -> WeightMixture:
    r"""Feature learning is said to turn one Gaussian of weights into a mixture of several.

    Rubin et al. expect one Gaussian about 0 before grokking, and after it a centre with two sides at ±μ. Look at the
    Fourier coefficients of the embedding and the unembedding beside the weights themselves: that is where the features
    of modular addition are. On the logarithmic axis of the histograms one Gaussian is a parabola; the thick line is
    the mixture, the thin ones its components.

    Sides among the weights themselves need not be features. AdamW's steps hardly depend on the size of a gradient, so
    that weights whose gradient keeps its sign come to lie equally far from 0: those of W_Q do, on both sides, from
    early on.

    To the values of each parameter mixtures of one to four Gaussians are fitted by maximum likelihood, and BIC chooses
    between them. What it finds significant may be slight, as its margin over one Gaussian grows with the number of
    values; a parameter is in the mixture phase where the margin is at least `least_margin` per weight, by default 0.1
    nats: as two equal Gaussians have that are 2.8 deviations apart, or two halves about one mean of which one is 2.6
    times as wide. BIC counts each nat of log-likelihood twice. The step of a change is the one from which the phase is
    that of the last step; it may be any from the last at which the margin was clearly on the other side, by two
    standard errors, to the first at which it is clearly on this.

    The symmetric mixture has numbers where BIC prefers it to one Gaussian. Its sides stand apart where the density
    falls to half of its height at them, or less, between them and 0.

    The coefficients are those of `fourier_W_E` and `fourier_W_U`, along the residues in the order in which the task is
    cyclic, without the constant; tasks without such an order have none. Parameters of fewer than 64 values are left
    out, their coefficients too, and there are no numbers where all values are the same. No component may be narrower
    than a hundredth of the values' deviation: a cluster of near-zeros counts as one, but how narrow it is does not make
    the margin grow without end.

    Standard errors, from the observed information, and the p-value are right for independent draws. Weights are not,
    nor is a mixture ever quite right: take them for a guide. An error is missing where the likelihood does not tell a
    number, as of a component that has no weight or is as narrow as may be. With many values the p-value is 0 for a fit
    that is hardly off; the distance tells how far. The search begins from many starts, and from the answer at the
    checkpoint before, which wins where it leads to more likelihood; nothing is drawn at random.

    Formula: p(x) = \sum_{k=1}^{K} \pi_k \mathcal{N}(x; \mu_k, \sigma_k^2)

    Formula: \text{margin} = \mathrm{BIC}_1 - \mathrm{BIC}_K, \quad \mathrm{BIC}_K = -2 \log L_K + (3K - 1) \log n

    Formula: \text{symmetric: } \pi_0 \mathcal{N}(0, \sigma_0^2)
        + \tfrac{1 - \pi_0}{2} \left[ \mathcal{N}(\mu, \sigma_1^2) + \mathcal{N}(-\mu, \sigma_1^2) \right]

    Paper: Rubin, Seroussi & Ringel 2024, arXiv 2310.03789
    """
    samples = _samples(checkpoint)
    fitted = {
        name: values
        for name, values in samples.items()
        if max(1e-6 * np.abs(values).max(), LEAST_SPAN) < np.ptp(values) < LARGEST_SPAN
    }
    known = dict(zip(previous.parameter, previous._fits, strict=True)) if previous else {}
    before = [[Mixture(*one[:, np.isfinite(one[0])]) for one in known.get(name, NO_FITS)] for name in fitted]
    fits = dict(zip(fitted, fit_mixtures(list(fitted.values()), [one[:-1] for one in before]), strict=True))
    symmetric = dict(zip(fitted, fit_symmetric(list(fitted.values()), [one[-1] for one in before]), strict=True))
    rows = [
        _row(values, fits[name], symmetric[name], least_margin) if name in fits else {}
        for name, values in samples.items()
    ]
    counts, widths = zip(*(nested_histogram(values, HALF) for values in samples.values()), strict=True)
    return WeightMixture(
        parameter=tuple(samples),
        component=torch.arange(MAX_COMPONENTS),
        bin=torch.arange(-HALF, HALF),
        **{
            name: torch.from_numpy(np.stack([row.get(name, nothing) for row in rows]))
            for name, nothing in NOTHING.items()
        },
        histogram=torch.from_numpy(np.stack(counts)),
        bin_width=torch.tensor(widths, dtype=torch.float64),
        test_accuracy=checkpoint.measure("loss").test_accuracy,
        _fits=np.stack(
            [_numbers([*fits[name], symmetric[name]]) if name in fits else NO_FITS for name in samples],
        ),
    )


NOTHING: dict[str, Any] = {
    "components": np.int64(0),
    "mixture": np.bool_(False),
    "clear": np.bool_(False),
    **dict.fromkeys(
        ("weight", "weight_se", "component_mean", "component_mean_se", "variance", "variance_se"),
        np.full(MAX_COMPONENTS, np.nan),
    ),
    **dict.fromkeys(
        (
            *("margin", "margin_se", "margin_per_weight", "margin_per_weight_se"),
            *("symmetric_margin_per_weight", "symmetric_margin_per_weight_se"),
            *("excess_kurtosis", "excess_kurtosis_se", "fit_distance", "fit_chi_squared", "fit_p_value"),
            *("centre_weight", "centre_weight_se", "centre_variance", "centre_variance_se"),
            *("side_mean", "side_mean_se", "side_variance", "side_variance_se"),
        ),
        np.float64(np.nan),
    ),
}
"""The row of a parameter whose values are all the same."""
NO_FITS = np.full((MAX_COMPONENTS + 1, 3, MAX_COMPONENTS), np.nan)


def _samples(checkpoint: Checkpoint) -> dict[str, Float[np.ndarray, " value"]]:
    """Parameters, and Fourier coefficients of those with a vocabulary, in the order of the architecture."""
    weights = {name: checkpoint.weights[name].cpu().double() for name in checkpoint.run.architecture.shapes}
    axis = checkpoint.task.elements
    found = dict(weights)
    if axis is not None:
        for name, value in weights.items():
            if re.search(r"\.W_[EU]$", name):
                found[_fourier_name(name)] = _coefficients(name, value, axis, checkpoint.task.p)
    return {name: value.flatten().numpy() for name, value in found.items() if value.numel() >= FEWEST}


def _fourier_name(name: str) -> str:
    """embed.W_E -> fourier_W_E, embed_a.W_E -> fourier_W_E_a"""
    module, _, short = name.rpartition(".")
    return FOURIER + short + module.removeprefix("unembed").removeprefix("embed")


def _coefficients(
    name: str, value: Float[Tensor, "_ _"], axis: Int[Tensor, " n"], p: int
) -> Float[Tensor, "operand basis _"]:
    """Of the residues, once for each operand that has tokens of its own; of the answers' logits. 0 where there is
    nothing but rounding.
    """
    table = value.T[:p] if name.endswith("W_U") else value[: len(value) // p * p]
    found = fourier.basis(len(axis))[1:] @ table.unflatten(0, (-1, p))[:, axis]
    return found.where(found.abs() > ROUNDING * value.abs().max(), 0)


def _row(
    values: Float[np.ndarray, " value"], fits: Sequence[Fit], symmetric: Fit, least_margin: float
) -> dict[str, Any]:
    n, single = len(values), fits[0]
    best = min(fits, key=lambda fit: fit.bic)
    kurtosis, kurtosis_se = excess_kurtosis(values)
    fit = goodness_of_fit(values, best.mixture)
    margin = single.bic - best.bic
    margin_se = _margin_se(best, single)
    centre, side = 1, 2  # of the symmetric mixture's components
    numbers = {
        "margin": margin,
        "margin_se": margin_se,
        "margin_per_weight": margin / n,
        "margin_per_weight_se": margin_se / n,
        "symmetric_margin_per_weight": (single.bic - symmetric.bic) / n,
        "symmetric_margin_per_weight_se": _margin_se(symmetric, single) / n,
        "excess_kurtosis": kurtosis,
        "excess_kurtosis_se": kurtosis_se,
        "fit_distance": fit.distance,
        "fit_chi_squared": fit.statistic,
        "fit_p_value": fit.p_value,
    }
    if symmetric.bic < single.bic:
        numbers |= {
            "centre_weight": symmetric.mixture.weight[centre],
            "centre_weight_se": symmetric.weight_se[centre],
            "centre_variance": symmetric.mixture.variance[centre]
            if symmetric.mixture.weight[centre] > 1e-6
            else np.nan,
            "centre_variance_se": symmetric.variance_se[centre],
            "side_mean": symmetric.mixture.mean[side],
            "side_mean_se": symmetric.mean_se[side],
            "side_variance": symmetric.mixture.variance[side],
            "side_variance_se": symmetric.variance_se[side],
        }
    per_component = {
        "weight": best.mixture.weight,
        "weight_se": best.weight_se,
        "component_mean": best.mixture.mean,
        "component_mean_se": best.mean_se,
        "variance": best.mixture.variance,
        "variance_se": best.variance_se,
    }
    return {
        "components": np.int64(best.mixture.components),
        "mixture": np.bool_(best.mixture.components > 1 and margin / n >= least_margin),
        "clear": np.bool_(abs(margin / n - least_margin) >= 2 * margin_se / n),
        **{name: np.float64(number) for name, number in numbers.items()},
        **{
            name: np.pad(array, (0, MAX_COMPONENTS - len(array)), constant_values=np.nan)
            for name, array in per_component.items()
        },
    }


def _numbers(fits: Sequence[Fit]) -> Float[np.ndarray, "fit number component"]:
    found = np.full_like(NO_FITS, np.nan)
    for place, one in enumerate(fits):
        found[place, :, : one.mixture.components] = one.mixture.weight, one.mixture.mean, one.mixture.variance
    return found


def _margin_se(mixture: Fit, single: Fit) -> float:
    """Vuong's, of twice the difference of the log-likelihoods."""
    gains = mixture.log_density - single.log_density
    return 2 * math.sqrt(len(gains) * float(np.var(gains)))


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


def over_run(result: xr.Dataset) -> Phases:
    steps, margin, phase = result.step.values, result.margin_per_weight.values, result.mixture.values.astype(bool)
    clear = result.clear.values.astype(bool)
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
    return Phases(changed, earliest, latest, farthest, np.where(np.isfinite(largest), largest, np.nan))


def _after_the_last(steps: Int[np.ndarray, " step"], marked: Bool[np.ndarray, " step"]) -> int:
    places = np.flatnonzero(marked)
    return int(steps[places[-1] + 1]) if len(places) and places[-1] + 1 < len(steps) else -1


def figure(result: xr.Dataset) -> list[Curves | Heatmap | Density | Table]:
    names = [str(name) for name in result.parameter.values]
    pairs = _pairs(names)
    raw = [name for name in names if not name.startswith(FOURIER)]
    short = _short_names(names)
    others = [name for name in raw if name not in pairs]
    margin, error = result.margin_per_weight, result.margin_per_weight_se
    weights = margin.sel(parameter=raw).assign_coords(parameter=[short[name] for name in raw])
    curved = [name for pair in pairs.items() for name in pair if name] or raw[:6]
    panels: list[Curves | Heatmap | Density | Table] = [
        Curves(
            "Margin per weight over one Gaussian",
            {short[name]: margin.sel(parameter=name) for name in curved},
            log=True,
            errors={short[name]: error.sel(parameter=name) for name in curved},
        ),
        Heatmap(DECADES, np.log10(weights.clip(min=1e-3) / 1e-3), x="step", y="parameter"),
    ]
    panels.append(_phases(result, short))
    for name, transformed in pairs.items():
        panels += [_density(result, one, short[one]) for one in (name, transformed) if one]
    farthest = sorted(others, key=lambda name: -float(result.farthest_margin.fillna(-1).sel(parameter=name)))
    panels += [_density(result, name, short[name]) for name in farthest[: 2 if pairs else 4]]
    return panels


def _phases(result: xr.Dataset, short: Mapping[str, str]) -> Table:
    """Of every distribution the phase at the end, since when, by what margin, and how good the fit is."""
    generalised = generalised_step(result)
    names = sorted(map(str, result.parameter.values), key=lambda name: not name.startswith(FOURIER))

    def column(text: Callable[[xr.Dataset], str]) -> xr.DataArray:
        cells = [text(result.sel(parameter=name)) for name in names]
        return xr.DataArray(cells, {"distribution": [short[name] for name in names]})

    def since(one: xr.Dataset) -> str:
        return f"{int(one.changed_step):,}" if int(one.changed_step) >= 0 else "throughout"

    def margin(one: xr.Dataset) -> str:
        found, error = float(one.margin_per_weight), float(one.margin_per_weight_se)
        return f"{number(found)} ± {number(error, 1)}" if np.isfinite(found) else ""

    def plain(value: xr.DataArray) -> str:
        return number(float(value)) if np.isfinite(value) else ""

    last = result.isel(step=-1)
    columns = {
        "phase": column(lambda one: "mixture" if one.mixture[-1] else "one Gaussian"),
        "since step": column(since),
        "within 2 s.e.": column(_between),
    }
    if generalised is not None and generalised != int(last.step):
        columns["generalised"] = column(lambda one: margin(one.sel(step=generalised)))
    columns |= {
        "margin": column(lambda one: margin(one.isel(step=-1))),
        "distance": column(lambda one: plain(one.fit_distance[-1])),
        "p-value": column(lambda one: plain(one.fit_p_value[-1])),
    }
    return Table("Phase, margin when it generalised and at the end, and fit of every distribution", columns)


def _between(one: xr.Dataset) -> str:
    """The steps between which the phase changed, as far as two standard errors of the margin tell; "" if they tell."""
    earliest, latest = int(one.changed_earliest), int(one.changed_latest)
    if earliest == latest or int(one.changed_step) < 0:
        return ""
    if latest < 0:
        return f"after {earliest:,}"
    return f"{earliest:,} to {latest:,}" if earliest >= 0 else f"before {latest:,}"


def _pairs(names: Sequence[str]) -> dict[str, str | None]:
    """Parameters with a vocabulary, and their Fourier coefficients where there are any."""
    with_vocabulary = [name for name in names if re.search(r"\.W_[EU]$", name)]
    return {name: twin if (twin := _fourier_name(name)) in names else None for name in with_vocabulary}


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """The last part of each name; where several have it, with the number or letter that tells them apart."""
    short: dict[str, str] = {}
    for name in names:
        module, _, last = name.rpartition(".")
        mark = re.search(r"\.(\d+)\.|_([ab])$|(\d+)$", module)
        own = next(filter(None, mark.groups())) if mark else ""
        alike = sum(other.rpartition(".")[2] == last for other in names) > 1
        fourier_name = name.removeprefix(FOURIER).replace("_a", " a").replace("_b", " b")
        short[name] = (
            f"{fourier_name}, Fourier" if name.startswith(FOURIER) else f"{last} {own}" if alike and own else last
        )
    return short


def _density(result: xr.Dataset, name: str, title: str) -> Density:
    """The histogram in each step's own bins, and the mixture with its components at places that follow their widths."""
    one = result.sel(parameter=name)
    width = one.bin_width
    counts = one.histogram.sum("bin")
    middles = ((one.bin + 0.5) * width).transpose("step", "bin")
    heights = (one.histogram / counts / width).where(counts > 0)
    deviation = np.sqrt(one.variance)
    around = xr.DataArray(np.linspace(-REACH, REACH, PLACES), dims="place")
    places = (one.component_mean + around * deviation).transpose("step", "component", "place")
    everywhere = xr.DataArray(
        np.sort(places.values.reshape(len(one.step), -1), axis=1), dims=("step", "place"), coords={"step": one.step}
    )

    def density(at: xr.DataArray, component: xr.Dataset) -> xr.DataArray:
        z = (at - component.component_mean) / np.sqrt(component.variance)
        return component.weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi * component.variance)

    of_all = density(everywhere, one).sum("component", min_count=1)
    curves = {"mixture": (everywhere, of_all)}
    several = one.where(one.components > 1)
    for component in range(int(one.components.max()) if one.components.max() > 1 else 0):
        at = places.isel(component=component)
        curves[f"component {component + 1}"] = (at, density(at, several.isel(component=component)))
    quantity = "weight" if not name.startswith(FOURIER) else "coefficient"
    return Density(f"{title}: density", middles.rename(quantity), heights, curves)


def summary(result: xr.Dataset) -> Summary:
    names = [str(name) for name in result.parameter.values if result.margin_per_weight.sel(parameter=name).count()]
    if not names:
        return Summary("No parameter has enough different values to fit a distribution to.")
    short, pairs = _short_names(names), _pairs(names)
    final = {name: bool(result.mixture.sel(parameter=name)[-1]) for name in names}
    values = {
        "mixtures": [name for name in names if final[name]],
        "changed_step": {name: int(result.changed_step.sel(parameter=name)) for name in names},
        "final_margin": {name: float(result.margin_per_weight.sel(parameter=name)[-1]) for name in names},
        "farthest_step": {name: int(result.farthest_step.sel(parameter=name)) for name in names},
        "generalised_step": generalised_step(result),
        "sides_apart": [name for name in names if _stand_apart(result.sel(parameter=name))],
    }
    transformed = [twin for twin in pairs.values() if twin]
    raw = list(pairs) or names[:3]
    where = "In the weights themselves " if transformed else ""
    groups = [("In Fourier coefficients ", transformed), (where, raw)] if transformed else [(where, raw)]
    first = groups[0][1][0]
    told = [
        f"{where}{'; '.join(_history(result, name, short[name], full=name == first) for name in group)}."
        for where, group in groups
    ]
    told += [_census(values, len(names)), _sides(values["sides_apart"], names, short)]
    return Summary(" ".join(told), values)


def _census(values: Mapping[str, Any], count: int) -> str:
    """How many distributions end as mixtures, and of how many that is so only since it generalised."""
    mixtures, generalised = values["mixtures"], values["generalised_step"]
    told = f"**{len(mixtures)} of {count}** distributions end as mixtures"
    if generalised is None or not mixtures:
        return f"{told}."
    late = sum(values["changed_step"][name] >= generalised for name in mixtures)
    return f"{told}, {late if late else 'none'} of them only since it generalised."


def _stand_apart(one: xr.Dataset) -> bool:
    """Whether the symmetric mixture of the last step falls to half of its height at the sides, or less, within them."""
    last = one.isel(step=-1)
    if not (last.mixture and last.side_mean > 0):
        return False
    centre, side = float(last.centre_weight), float(last.side_mean)
    centre_variance = last.centre_variance.fillna(last.side_variance)  # none of a centre without weight
    variances = np.array([float(last.side_variance), float(centre_variance), float(last.side_variance)])
    mixture = Mixture(np.array([1 - centre, 2 * centre, 1 - centre]) / 2, np.array([-side, 0, side]), variances)
    density = mixture.log_density(np.linspace(0, side, PLACES))
    return bool(density.min() < density[-1] - math.log(2))


def _sides(apart: Sequence[str], names: Sequence[str], short: Mapping[str, str]) -> str:
    if not apart:
        return "None ends with sides at ±μ that stand apart."
    transformed = [name for name in names if name.startswith(FOURIER)]
    beside = "" if not transformed or set(transformed) & set(apart) else ", none of them of Fourier coefficients"
    which = ", ".join(short[name] for name in apart) if len(apart) <= FEW_NAMES else f"**{len(apart)}**"
    return f"Sides at ±μ stand apart at the end in {which}{beside}."


def _history(result: xr.Dataset, name: str, called: str, full: bool) -> str:
    """W_E is a mixture from step 2,100 (margin over one Gaussian 0.73 nats per weight when it generalised, 2.1 at the
    end); without what the numbers are where it is not to be told in full.
    """
    one = result.sel(parameter=name)
    known = one.isel(step=np.isfinite(one.margin_per_weight.values))
    phases, margin, last = known.mixture.values, known.margin_per_weight, int(known.step[-1])
    changes = int((phases[1:] != phases[:-1]).sum())
    now = "a mixture" if phases[-1] else "one Gaussian"
    text = f"{called.removesuffix(', Fourier')} is {'for good ' if changes > 1 else ''}{now}"
    if changes:
        text += f" from step **{int(one.changed_step):,}**"
    elif len(phases) > 1:
        text += " throughout"
    generalised, farthest = generalised_step(result), int(one.farthest_step)
    at = {last: "at the end" if len(phases) > 1 else f"at step {last:,}"}
    if generalised is not None and generalised in known.step.values:
        at.setdefault(generalised, "when it generalised")
    if float(one.farthest_margin) > 1.25 * float(margin[-1]):
        at.setdefault(farthest, f"at step {farthest:,}")
    numbers = [f"{float(margin.sel(step=step)):.2g}" for step in sorted(at)]
    numbers[-1] = f"**{numbers[-1]}**"
    if full:
        numbers[0] = f"margin over one Gaussian {numbers[0]} nats per weight"
    margins = ", ".join(f"{number} {at[step]}" for number, step in zip(numbers, sorted(at), strict=True))
    between = _between(one) if changes else ""
    within = f"{between}{' within two standard errors' if full else ''}; " if between else ""
    return f"{text} ({within}{margins})"
