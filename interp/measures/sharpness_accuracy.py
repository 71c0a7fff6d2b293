"""Sharpness against test accuracy, over runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt

from interp.checkpoints import Run
from interp.errors import NothingToSay
from interp.figures import Scatter, Table
from interp.findings import Claim, Claims, Finding
from interp.maths.rank_correlation import Advantage, advantage, spearman, spearman_interval
from interp.measures.keskar_sharpness import SubspaceDim
from interp.measures.shared.seed import Seed
from interp.measures.shared.trained_with import in_units
from interp.summaries import listed

WORDS = {
    "sharpness": "Keskar sharpness φ",
    "relative_rise": "the rise as a multiple of the loss",
    "train_loss": "train loss",
    "weight_norm": "weight norm",
}
"""What the test accuracy is held against, as titles and rows name it."""


@dataclass(frozen=True)
class SharpnessPoint:
    sharpness: Float[np.ndarray, ""]
    """Keskar's φ, the mean over the subspaces drawn [%]"""
    sharpness_se: Float[np.ndarray, ""]
    """Standard error of φ's mean; 0 in the full space, NaN where the draws do not differ [%]"""
    relative_rise: Float[np.ndarray, ""]
    """Rise in the box as a multiple of the train loss"""
    relative_rise_se: Float[np.ndarray, ""]
    """Standard error of the rise as a multiple of the train loss; 0 and NaN as that of φ"""
    train_loss: Float[np.ndarray, ""]
    """Loss on the training examples"""
    weight_norm: Float[np.ndarray, ""]
    """L2 norm of all weights"""
    test_accuracy: Float[np.ndarray, ""]
    """Share of the test examples answered right"""
    train_accuracy: Float[np.ndarray, ""]
    """Share of the training examples answered right"""
    last_step: int
    """Step at which the run is looked at, its last"""
    sampling_seed: int
    """Seed with which the subspaces were drawn"""
    loss_units: str
    """Units of the loss that the run was trained with"""


def sharpness_accuracy(
    run: Run,
    subspace_dim: SubspaceDim = 10,
    epsilon: PositiveFloat = 1e-3,
    draws: PositiveInt = 30,
    seed: Seed = 0,
) -> SharpnessPoint:
    r"""Among networks trained alike, those in flatter minima answer more of the test examples.

    Each run is a point: Keskar's φ, with the options of `keskar_sharpness`, and the test accuracy, both at its
    last checkpoint. Power et al. found Spearman's ρ = -0.795 on S5.

    Beside it stands the same correlation with the train loss or the weight norm in the place of φ, and with the rise as
    a multiple of the train loss: where these order the runs as well, and the multiple does not, φ tells how well the
    training examples are fitted, and with how large weights, and little more. The train loss is the one that a run was
    trained with.

    The confidence intervals of 95% speak of other seeds of the same recipe. That of ρ assumes independent runs and a
    Gaussian copula, and holds the r under which a ρ as far out as the one found has a chance of 2.5% or more on either
    side, by samples drawn with a fixed seed (Bonett and Wright's closed form for more than 200 runs). It holds the true
    correlation in 94% of all samples at least. By how much the |ρ| of another predictor exceeds that of φ has the
    interval of a paired bootstrap: 10,000 times as many runs are drawn from the runs with replacement, with a fixed
    seed. Resamples in which one quantity is the same for all runs are left out. Ties have their mean rank.

    Runs whose split is unknown, or that were trained on all examples, are no points.

    Formula: \rho = \mathrm{corr}(\mathrm{rank}\, \varphi, \mathrm{rank}\, \mathrm{acc}), \quad
        P_{r_\mathrm{low}}(\hat\rho \ge \rho) = P_{r_\mathrm{high}}(\hat\rho \le \rho) = 0.025, \quad
        \rho(r) = \tfrac{6}{\pi} \arcsin \tfrac{r}{2}

    Paper: Power et al. 2022, arXiv 2201.02177; Keskar et al. 2017, arXiv 1609.04836
    """
    final = run.final
    losses = final.measure("loss")
    if losses.test_accuracy is None:
        raise NothingToSay("the task asks for values, not for classes, so there is no test accuracy")
    box = {"subspace_dim": subspace_dim, "epsilon": epsilon, "draws": draws, "seed": seed}
    sharp = final.measure("keskar_sharpness", **box)
    return SharpnessPoint(
        sharpness=sharp.sharpness,
        sharpness_se=sharp.sharpness_se,
        relative_rise=sharp.relative_rise,
        relative_rise_se=sharp.relative_rise_se,
        train_loss=losses.train_loss.cpu().numpy(),
        weight_norm=final.measure("weight_norm").total.cpu().numpy(),
        test_accuracy=losses.test_accuracy.cpu().numpy(),
        train_accuracy=losses.train_accuracy.cpu().numpy(),
        last_step=final.step,
        sampling_seed=seed,
        loss_units=losses.loss_units,
    )


@dataclass(frozen=True)
class RankCorrelations:
    predictor: tuple[str, ...]
    """What the test accuracy is held against: one of the arrays over the runs"""
    spearman: Float[np.ndarray, " predictor"]
    """Spearman's ρ of the predictor and test accuracy"""
    spearman_low: Float[np.ndarray, " predictor"]
    """Lower end of its 95% confidence interval"""
    spearman_high: Float[np.ndarray, " predictor"]
    """Upper end of its 95% confidence interval"""
    runs: int
    """Runs"""
    points: int
    """How many of them have both a sharpness and a test accuracy"""
    advantage: Float[np.ndarray, " predictor"]
    """By how much |ρ| of the predictor exceeds |ρ| of Keskar's φ, over the runs that have both; NaN for φ itself"""
    advantage_low: Float[np.ndarray, " predictor"]
    """Lower end of the 95% bootstrap interval of that difference; NaN where the resamples do not differ"""
    advantage_high: Float[np.ndarray, " predictor"]
    """Upper end of the 95% bootstrap interval of that difference; NaN where the resamples do not differ"""
    advantage_resamples: Int[np.ndarray, " predictor"]
    """Resamples, of 10,000, in which both have a correlation"""


def over_runs(result: xr.Dataset) -> RankCorrelations:
    points = _points(result)
    rho, low, high = zip(*(_order(points, name) for name in WORDS), strict=True)
    gained = [_over_sharpness(points, name) for name in WORDS]
    return RankCorrelations(
        predictor=tuple(WORDS),
        runs=result.sizes["run"],
        points=points.sizes["run"],
        spearman=np.array(rho),
        spearman_low=np.array(low),
        spearman_high=np.array(high),
        advantage=np.array([one.value for one in gained]),
        advantage_low=np.array([one.low for one in gained]),
        advantage_high=np.array([one.high for one in gained]),
        advantage_resamples=np.array([one.resamples for one in gained]),
    )


def _points(result: xr.Dataset) -> xr.Dataset:
    """The runs that have both a sharpness and a test accuracy."""
    return result.isel(run=np.isfinite(result.sharpness.values) & np.isfinite(result.test_accuracy.values))


def _order(points: xr.Dataset, name: str) -> tuple[float, float, float]:
    """Spearman's ρ and the ends of its interval, over the runs where the predictor is a finite number."""
    known = _where_finite(points, name)
    rho = spearman(known[name].values, known.test_accuracy.values)
    return rho, *spearman_interval(rho, known.sizes["run"])


def _over_sharpness(points: xr.Dataset, name: str) -> Advantage:
    """By how much the predictor orders the runs better than φ does; φ itself has no advantage."""
    if name == "sharpness":
        return Advantage.unknown()
    known = _where_finite(points, name)
    return advantage(known[name].values, known.sharpness.values, known.test_accuracy.values)


def _where_finite(points: xr.Dataset, name: str) -> xr.Dataset:
    return points.isel(run=np.isfinite(points[name].values))


def figure(result: xr.Dataset) -> list[Scatter | Table]:
    def against(title: str, x: xr.DataArray, error: xr.DataArray | None = None, log: bool = True) -> Scatter:
        title = f"Test accuracy against {title}"
        return Scatter(title, x, result.test_accuracy, x_error=error, log_x=log, percent=True, width="half")

    return [
        against("Keskar sharpness φ", result.sharpness, result.sharpness_se),
        against("the rise as a multiple of the loss", result.relative_rise, result.relative_rise_se, log=False),
        against("train loss", in_units(result.train_loss, result)),
        against("weight norm", result.weight_norm, log=False),
        Table(
            "Spearman's ρ with test accuracy, and its 95% interval",
            {
                "ρ": _two_digits(result.spearman),
                "from": _two_digits(result.spearman_low),
                "to": _two_digits(result.spearman_high),
            },
        ),
    ]


def _two_digits(array: xr.DataArray) -> xr.DataArray:
    """The numbers as texts, with the rows named in words."""
    texts = [f"{value:.2f}" if np.isfinite(value) else "" for value in array.values]
    return xr.DataArray(texts, {"predictor": [WORDS[name] for name in array.predictor.values]})


def summary(result: xr.Dataset) -> list[Finding]:
    claims = Claims(result, "Spearman's ρ with test accuracy, and its 95% interval")
    records = {"points": claims.end("points"), "runs": claims.end("runs")}
    if not claims.maybe("spearman", predictor="sharpness"):
        few = (
            "There is no order to compare: {points} of {runs:run} {points:has.} both a sharpness and a test accuracy, "
            "and these must be four at least, not all alike."
        )
        return [Finding(few, records, chapter="answer", rank=10)]
    for name in WORDS:
        if claims.maybe("spearman", predictor=name):
            records |= {f"{name}{end}": claims.end(f"spearman{end}", predictor=name) for end in ("", "_low", "_high")}

    def told(name: str) -> str:
        return f"{{{name}:2}} (95% interval {{{name}_low:2}} to {{{name}_high:2}})"

    verdict = "no order that these runs could show"
    if records["sharpness_low"].value > 0 or records["sharpness_high"].value < 0:
        verdict = f"the sharper, the {'worse' if records['sharpness'].value < 0 else 'better'} on the test examples"
    records |= {"first_step": claims.end("last_step", "min"), "last_step": claims.end("last_step", "max")}
    one = records["first_step"].value == records["last_step"].value
    when = "{last_step:step}" if one else "{first_step:step} to {last_step}"
    others = [f"with the {WORDS[name]} {told(name)}" for name in WORDS if name != "sharpness" and name in records]
    beside = f" In the place of φ it is {listed(others)}." if others else ""
    sentence = (
        f"Over {{points:run}} at {when} Spearman's ρ of Keskar's φ and test accuracy is {told('sharpness')}: {verdict}."
        f"{beside}"
    )
    return [*_better(claims), Finding(sentence, records, chapter="what", rank=10)]


def _better(claims: Claims) -> list[Finding]:
    """Which predictors order the runs better or worse than φ, where the interval of the difference says so."""
    told: list[str] = []
    records: dict[str, Claim] = {}
    for name in WORDS:
        low, high = (claims.maybe(f"advantage_{end}", predictor=name) for end in ("low", "high"))
        if not low or not high or low.value <= 0 <= high.value:
            continue
        records |= {name: claims.end("advantage", predictor=name), f"{name}_low": low, f"{name}_high": high}
        by = f"by {{{name}:2}} (95% interval {{{name}_low:2}} to {{{name}_high:2}})"
        told.append(f"the {WORDS[name]} tells {'more' if low.value > 0 else 'less'} than sharpness, {by}")
    if not told:
        return []
    sentence = f"Of the test accuracy {'; '.join(told)}, as differences of |ρ|."
    return [Finding(sentence, records, chapter="answer", rank=10)]
