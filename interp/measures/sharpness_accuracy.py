"""Sharpness against test accuracy, over runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from interp.checkpoints import Run
from interp.figures import Scatter
from interp.maths.rank_correlation import spearman, spearman_interval
from interp.measures._seed import Seed
from interp.measures.keskar_sharpness import keskar_sharpness
from interp.measures.loss import loss
from interp.measures.weight_norm import weight_norm
from interp.summaries import Summary


@dataclass(frozen=True)
class SharpnessAccuracy:
    run: tuple[str, ...]
    sharpness: Float[np.ndarray, " run"]
    """Keskar's φ, the mean over the subspaces drawn"""
    sharpness_se: Float[np.ndarray, " run"]
    """Standard error of that mean"""
    test_accuracy: Float[np.ndarray, " run"]
    """Share of the test pairs answered right"""
    train_loss: Float[np.ndarray, " run"]
    """Cross-entropy on the training pairs [nats]"""
    weight_norm: Float[np.ndarray, " run"]
    """L2 norm of all weights"""
    train_accuracy: Float[np.ndarray, " run"]
    """Share of the training pairs answered right"""
    last_step: Int[np.ndarray, " run"]
    """Step at which the run is looked at, its last"""
    spearman: float
    """Spearman's ρ of sharpness and test accuracy"""
    spearman_low: float
    """Lower end of its 95 % confidence interval"""
    spearman_high: float
    """Upper end of its 95 % confidence interval"""
    loss_spearman: float
    """Spearman's ρ of train loss and test accuracy"""
    norm_spearman: float
    """Spearman's ρ of weight norm and test accuracy"""
    relative_spearman: float
    """Spearman's ρ of test accuracy and the rise in the box as a multiple of the train loss"""
    sampling_seed: int
    """Seed with which the subspaces were drawn"""


def sharpness_accuracy(
    runs: list[Run],
    subspace_dim: NonNegativeInt = 10,
    epsilon: PositiveFloat = 1e-3,
    draws: PositiveInt = 30,
    seed: Seed = 0,
) -> SharpnessAccuracy:
    r"""Of networks trained alike, those in flatter minima answer more of the test pairs.

    Each run is a point: Keskar's φ, with the options of `keskar_sharpness`, and the test accuracy, both at its
    last checkpoint. Power et al. found Spearman's ρ = -0.795 on S5.

    The confidence interval is Bonett and Wright's, of 95 %: it speaks of other seeds of the same recipe. Beside it
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
    sharpness = np.array([float(one.sharpness) for one in sharp])
    relative = np.array([float(one.relative_rise) for one in sharp])
    accuracy = np.array([float(one.test_accuracy) for one in losses])
    train_loss = np.array([float(one.train_loss) for one in losses])
    norm = np.array([float(weight_norm(checkpoint).total) for checkpoint in final])
    known = np.isfinite(sharpness) & np.isfinite(accuracy)

    def with_accuracy(values: Float[np.ndarray, " run"]) -> float:
        points = known & np.isfinite(values)
        return spearman(values[points], accuracy[points])

    rho = with_accuracy(sharpness)
    low, high = spearman_interval(rho, int(known.sum()))
    return SharpnessAccuracy(
        run=tuple(run.name for run in runs),
        sharpness=sharpness,
        sharpness_se=np.array([float(one.sharpness_se) for one in sharp]),
        test_accuracy=accuracy,
        train_loss=train_loss,
        weight_norm=norm,
        train_accuracy=np.array([float(one.train_accuracy) for one in losses]),
        last_step=np.array([checkpoint.step for checkpoint in final]),
        spearman=rho,
        spearman_low=low,
        spearman_high=high,
        loss_spearman=with_accuracy(train_loss),
        norm_spearman=with_accuracy(norm),
        relative_spearman=with_accuracy(relative),
        sampling_seed=seed,
    )


def figure(result: xr.Dataset) -> list[Scatter]:
    return [
        Scatter(
            "Test accuracy against Keskar sharpness φ",
            result.sharpness,
            result.test_accuracy,
            x_error=result.sharpness_se,
            log_x=True,
            percent=True,
            width="half",
        ),
        Scatter(
            "Test accuracy against train loss",
            result.train_loss,
            result.test_accuracy,
            log_x=True,
            percent=True,
            width="half",
        ),
    ]


def summary(result: xr.Dataset) -> Summary:
    known = int((result.sharpness.notnull() & result.test_accuracy.notnull()).sum())
    correlations = [str(name) for name in result.data_vars if "spearman" in str(name)]
    values = {"runs": known, **{name: float(result[name]) for name in correlations}}
    rho = values["spearman"]
    if np.isnan(rho):
        return Summary(
            f"There is no order to compare: **{known}** of {result.sizes['run']} runs have both a sharpness and a test "
            "accuracy, and these must be four at least, not all alike.",
            values,
        )
    low, high = values["spearman_low"], values["spearman_high"]
    verdict = "no order that these runs could show"
    if low > 0 or high < 0:
        verdict = f"the sharper, the {'worse' if rho < 0 else 'better'} on the test pairs"
    steps = result.last_step.values
    when = f"step {steps[0]:,}" if len(set(steps)) == 1 else f"steps {steps.min():,} to {steps.max():,}"
    return Summary(
        f"Over **{known}** runs at {when} Spearman's ρ of Keskar's φ and test accuracy is **{rho:.2f}** (95 % interval "
        f"**{low:.2f}** to **{high:.2f}**): {verdict}. With the train loss in the place of φ it is "
        f"**{values['loss_spearman']:.2f}**, with the weight norm **{values['norm_spearman']:.2f}**, with the rise as "
        f"a multiple of the loss **{values['relative_spearman']:.2f}**.",
        values,
    )
