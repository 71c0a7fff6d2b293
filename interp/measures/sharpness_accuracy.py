"""Sharpness against test accuracy, over runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, SupportsFloat

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt

from interp.checkpoints import Run
from interp.figures import Scatter, Table
from interp.maths.rank_correlation import spearman, spearman_interval
from interp.measures.keskar_sharpness import SubspaceDim, keskar_sharpness
from interp.measures.loss import loss
from interp.measures.shared.seed import Seed
from interp.measures.weight_norm import weight_norm
from interp.summaries import Summary

WORDS = {
    "sharpness": "Keskar sharpness φ",
    "relative_rise": "the rise as a multiple of the loss",
    "train_loss": "train loss",
    "weight_norm": "weight norm",
}


@dataclass(frozen=True)
class SharpnessAccuracy:
    run: tuple[str, ...]
    predictor: tuple[str, ...]
    """What the test accuracy is held against: one of the arrays over the runs"""
    sharpness: Float[np.ndarray, " run"]
    """Keskar's φ, the mean over the subspaces drawn [%]"""
    sharpness_se: Float[np.ndarray, " run"]
    """Standard error of that mean [%]"""
    relative_rise: Float[np.ndarray, " run"]
    """Rise in the box as a multiple of the train loss"""
    relative_rise_se: Float[np.ndarray, " run"]
    """Standard error of that multiple"""
    train_loss: Float[np.ndarray, " run"]
    """Cross-entropy on the training pairs [nats]"""
    weight_norm: Float[np.ndarray, " run"]
    """L2 norm of all weights"""
    test_accuracy: Float[np.ndarray, " run"]
    """Share of the test pairs answered right"""
    train_accuracy: Float[np.ndarray, " run"]
    """Share of the training pairs answered right"""
    last_step: Int[np.ndarray, " run"]
    """Step at which the run is looked at, its last"""
    spearman: Float[np.ndarray, " predictor"]
    """Spearman's ρ of the predictor and test accuracy"""
    spearman_low: Float[np.ndarray, " predictor"]
    """Lower end of its 95 % confidence interval"""
    spearman_high: Float[np.ndarray, " predictor"]
    """Upper end of its 95 % confidence interval"""
    sampling_seed: int
    """Seed with which the subspaces were drawn"""


def sharpness_accuracy(
    runs: list[Run],
    subspace_dim: SubspaceDim = 10,
    epsilon: PositiveFloat = 1e-3,
    draws: PositiveInt = 30,
    seed: Seed = 0,
) -> SharpnessAccuracy:
    r"""Of networks trained alike, those in flatter minima answer more of the test pairs.

    Each run is a point: Keskar's φ, with the options of `keskar_sharpness`, and the test accuracy, both at its
    last checkpoint. Power et al. found Spearman's ρ = -0.795 on S5.

    The confidence intervals are Bonett and Wright's, of 95 %: they speak of other seeds of the same recipe. Beside it
    stands the same correlation with the train loss or the weight norm in the place of φ, and with the rise as a
    multiple of the train loss: where these order the runs as well, and the multiple does not, φ tells how well the
    training pairs are fitted, and with how large weights, and little more.

    Runs whose split is unknown, or that were trained on all pairs, are no points.

    Formula: \rho = \mathrm{corr}(\mathrm{rank}\, \varphi, \mathrm{rank}\, \mathrm{acc}), \quad
        \tanh\left(\mathrm{artanh}\, \rho \pm 1.96 \sqrt{\frac{1 + \rho^2 / 2}{n - 3}}\right)

    Paper: Power et al. 2022, arXiv 2201.02177; Keskar et al. 2017, arXiv 1609.04836; Bonett & Wright 2000
    """
    final = [run.final for run in runs]
    losses = [loss(checkpoint) for checkpoint in final]
    sharp = [keskar_sharpness(checkpoint, subspace_dim, epsilon, draws, seed) for checkpoint in final]
    over_runs = {
        "sharpness": _numbers(one.sharpness for one in sharp),
        "relative_rise": _numbers(one.relative_rise for one in sharp),
        "train_loss": _numbers(one.train_loss for one in losses),
        "weight_norm": _numbers(weight_norm(checkpoint).total for checkpoint in final),
    }
    accuracy = _numbers(one.test_accuracy for one in losses)
    known = np.isfinite(over_runs["sharpness"]) & np.isfinite(accuracy)
    orders = [_order(values[known], accuracy[known]) for values in over_runs.values()]
    return SharpnessAccuracy(
        run=tuple(run.name for run in runs),
        predictor=tuple(over_runs),
        **over_runs,
        sharpness_se=_numbers(one.sharpness_se for one in sharp),
        relative_rise_se=_numbers(one.relative_rise_se for one in sharp),
        test_accuracy=accuracy,
        train_accuracy=_numbers(one.train_accuracy for one in losses),
        last_step=np.array([checkpoint.step for checkpoint in final]),
        spearman=np.array([order.rho for order in orders]),
        spearman_low=np.array([order.low for order in orders]),
        spearman_high=np.array([order.high for order in orders]),
        sampling_seed=seed,
    )


def _numbers(values: Iterable[SupportsFloat]) -> Float[np.ndarray, " value"]:
    return np.array([float(value) for value in values])


class _Order(NamedTuple):
    rho: float
    low: float
    high: float


def _order(values: Float[np.ndarray, " run"], accuracy: Float[np.ndarray, " run"]) -> _Order:
    points = np.isfinite(values)
    rho = spearman(values[points], accuracy[points])
    return _Order(rho, *spearman_interval(rho, int(points.sum())))


def figure(result: xr.Dataset) -> list[Scatter | Table]:
    def against(title: str, x: xr.DataArray, error: xr.DataArray | None = None, log: bool = True) -> Scatter:
        title = f"Test accuracy against {title}"
        return Scatter(title, x, result.test_accuracy, x_error=error, log_x=log, percent=True, width="half")

    return [
        against("Keskar sharpness φ", result.sharpness, result.sharpness_se),
        against("the rise as a multiple of the loss", result.relative_rise, result.relative_rise_se, log=False),
        against("train loss", result.train_loss),
        against("weight norm", result.weight_norm, log=False),
        Table(
            "Spearman's ρ with test accuracy, and its 95 % interval",
            {
                "ρ": _two_digits(result.spearman),
                "from": _two_digits(result.spearman_low),
                "to": _two_digits(result.spearman_high),
            },
        ),
    ]


def _two_digits(array: xr.DataArray) -> xr.DataArray:
    """As text, its rows named in words."""
    texts = [f"{value:.2f}" if np.isfinite(value) else "" for value in array.values]
    return xr.DataArray(texts, {"predictor": [WORDS[name] for name in array.predictor.values]})


def summary(result: xr.Dataset) -> Summary:
    known = int((result.sharpness.notnull() & result.test_accuracy.notnull()).sum())
    rho, low, high = (
        dict(zip(result.predictor.values.tolist(), result[name].values.tolist(), strict=True))
        for name in ("spearman", "spearman_low", "spearman_high")
    )
    values = {"runs": known, "spearman": rho, "spearman_low": low, "spearman_high": high}
    if np.isnan(rho["sharpness"]):
        return Summary(
            f"There is no order to compare: **{known}** of {result.sizes['run']} runs have both a sharpness and a test "
            "accuracy, and these must be four at least, not all alike.",
            values,
        )
    verdict = "no order that these runs could show"
    if low["sharpness"] > 0 or high["sharpness"] < 0:
        verdict = f"the sharper, the {'worse' if rho['sharpness'] < 0 else 'better'} on the test pairs"
    steps = result.last_step.values
    when = f"step {steps[0]:,}" if len(set(steps)) == 1 else f"steps {steps.min():,} to {steps.max():,}"

    def told(name: str) -> str:
        return f"**{rho[name]:.2f}** (95 % interval {low[name]:.2f} to {high[name]:.2f})"

    return Summary(
        f"Over **{known}** runs at {when} Spearman's ρ of Keskar's φ and test accuracy is {told('sharpness')}: "
        f"{verdict}. With the train loss in the place of φ it is {told('train_loss')}, with the weight norm "
        f"{told('weight_norm')}, with the rise as a multiple of the loss {told('relative_rise')}.",
        values,
    )
