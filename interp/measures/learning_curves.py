"""The curves of several runs, one over another."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from interp.checkpoints import Checkpoint, Run
from interp.errors import NothingToSay
from interp.figures import Curves

ACCURACIES = ("train_accuracy", "test_accuracy")
QUANTITIES = (*ACCURACIES, "train_loss", "test_loss")


@dataclass(frozen=True)
class LearningCurves:
    run: tuple[str, ...]
    checkpoint_step: Int[np.ndarray, " checkpoint_step"]
    """Training step, of which one of the runs has a checkpoint"""
    train_accuracy: Float[np.ndarray, "run checkpoint_step"]
    """Share of the training examples answered right; NaN where the run has no checkpoint"""
    test_accuracy: Float[np.ndarray, "run checkpoint_step"]
    """Share of the other examples answered right; NaN where the run has no checkpoint"""
    train_loss: Float[np.ndarray, "run checkpoint_step"]
    """Loss on the training examples; NaN where the run has no checkpoint"""
    test_loss: Float[np.ndarray, "run checkpoint_step"]
    """Loss on the other examples; NaN where the run has no checkpoint"""
    weight_norm: Float[np.ndarray, "run checkpoint_step"]
    """L2 norm of all weights; NaN where the run has no checkpoint"""


def learning_curves(runs: Sequence[Run]) -> LearningCurves:
    r"""Runs that end alike need not have come there alike.

    The losses and accuracies of every run, and the norm of its weights, over its own checkpoints, on one axis. Between
    two checkpoints of a run its line is straight. Losses are those that the runs were trained with: of different ones
    no heights can be compared.

    Formula: \mathrm{acc}_{r}(t), \quad L_{r}(t), \quad \lVert\theta_{r}(t)\rVert_2 \quad \text{of every run } r

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    steps_of_all = np.unique(np.concatenate([run.steps for run in runs]))
    curves = {name: np.full((len(runs), len(steps_of_all)), np.nan) for name in (*QUANTITIES, "weight_norm")}
    for place, run in enumerate(runs):
        for at in np.searchsorted(steps_of_all, run.steps):
            for name, value in _at(run[int(steps_of_all[at])]).items():
                curves[name][place, at] = value
    return LearningCurves(tuple(run.name for run in runs), steps_of_all, **curves)


def _at(checkpoint: Checkpoint) -> dict[str, float]:
    """What is known of a checkpoint, by the name of its curve; nothing where its weights are no numbers."""
    if not checkpoint.finite:
        return {}
    found = {"weight_norm": float(checkpoint.measure("weight_norm").total)}
    with contextlib.suppress(NothingToSay):
        losses = checkpoint.measure("loss")
        values = {name: getattr(losses, name) for name in QUANTITIES}
        found |= {name: float(value) for name, value in values.items() if value is not None}
    return found


TITLES = {
    "test_accuracy": "Test accuracy of every run",
    "train_accuracy": "Train accuracy of every run",
    "test_loss": "Test loss of every run",
    "train_loss": "Train loss of every run",
    "weight_norm": "Weight norm of every run",
}


def figure(result: xr.Dataset) -> list[Curves]:
    panels = []
    for name, title in TITLES.items():
        lines = {str(run): _joined(result[name].sel(run=run)) for run in result.run.values}
        lines = {run: line for run, line in lines.items() if line.notnull().any()}
        if lines:
            panels.append(Curves(title, lines, log="loss" in name, percent=name in ACCURACIES, width="half"))
    return panels


def _joined(curve: xr.DataArray) -> xr.DataArray:
    """The curve with straight lines between its own checkpoints."""
    known = curve.notnull().values
    if not known.any():
        return curve
    places = curve.checkpoint_step.values
    inside = np.interp(places, places[known], curve.values[known], left=np.nan, right=np.nan)
    return curve.copy(data=inside)
