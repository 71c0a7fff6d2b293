"""How the train loss swings early in training: what is said to foretell grokking."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Curves, Table
from interp.findings import Claims, Finding
from interp.maths.hjorth import Hjorth, hjorth_of, without_trend
from interp.measures.shared.trained_with import in_units, titled
from interp.summaries import number

SIGNAL, TABLE = "Train loss whose swings are looked at", "Hjorth's descriptors of its swings"
FEWEST = 16
"""Fewer samples have no swings to speak of."""


@dataclass(frozen=True)
class HjorthOfLoss:
    train_loss: Float[Tensor, ""]
    """Loss on the training examples"""
    until: int
    """Last step that may be looked at"""
    periods: float
    """Swings that come back more seldom than so many times in the window are taken for the trend"""
    loss_name: str
    """Loss that the run was trained with"""
    loss_units: str
    """Units of that loss"""


def hjorth(checkpoint: Checkpoint, until: PositiveInt = 400, periods: PositiveFloat = 4.0) -> HjorthOfLoss:
    r"""Runs that will grok swing early: the spectrum of the train loss of the first few hundred updates tells which.

    The signal is the train loss at the first checkpoints, as far as they lie evenly, up to the step `until`. From it
    the slow trend is taken, swings that come back fewer than `periods` times in the window, by a Butterworth filter of
    fourth order that is run forwards and backwards. (The paper speaks of a low-pass filter; what it needs, a mean of 0,
    is a high-pass.) Activity is the variance of what is left; mobility is its mean frequency, in radians a step, that
    of a sine; complexity, as the paper defines it, is the mobility of its slopes. Hjorth's own complexity, the ratio of
    the two, is 1 for a sine. Slopes are differences of neighbours, which see no swings shorter than two checkpoints.

    There is nothing to say where fewer than 16 checkpoints lie evenly in the window: save every few updates, or give
    a later `until`; with `until: 9000` the run that ships, saved every 100 updates, has 51. A checkpoint takes what its
    loss does, 0.02 s.

    Formula: m_n = \int \omega^n |F_{\mathcal L}(\omega)|^2 d\omega, \quad \text{activity } m_0, \;
        \text{mobility } \sqrt{m_2 / m_0}, \; \text{complexity } \sqrt{m_4 / m_2}

    Paper: Notsawo et al. 2023, arXiv 2306.13253; Hjorth 1970
    """
    count = len(evenly(checkpoint.run.asked, until))
    if count < FEWEST:
        raise NothingToSay(
            f"only {count} of its checkpoints up to step {until:,} lie evenly, and the swings of the train loss take "
            f"{FEWEST}; save more of them, or give a later `until`"
        )
    losses = checkpoint.measure("loss")
    if losses.train_loss.isnan():
        raise NothingToSay("there is no train loss")
    return HjorthOfLoss(losses.train_loss, until, periods, losses.loss_name, losses.loss_units)


def evenly(steps: list[int], until: int) -> list[int]:
    """The first of these steps that lie evenly, up to `until`."""
    inside = [step for step in steps if step <= until]
    apart = np.diff(inside)
    broken = np.flatnonzero(apart != apart[0]) if len(apart) else []
    return inside[: int(broken[0]) + 1] if len(broken) else inside


@dataclass(frozen=True)
class Swings:
    activity: float
    """Variance of the train loss without its trend; NaN where a loss is missing"""
    mobility: float
    """Its mean frequency, √(m₂/m₀) [radians a step]"""
    complexity: float
    """The mean frequency of its slopes, √(m₄/m₂) [radians a step]"""
    roughness: float
    """Complexity over mobility, Hjorth's own complexity: 1 for a sine"""
    period: float
    """Steps in which a sine of that mobility comes back"""
    samples: int
    """Checkpoints looked at"""
    apart: int
    """Steps between two of them"""
    last_looked_at: int
    """The last of them"""


def over_run(result: xr.Dataset) -> Swings:
    steps = evenly(result.step.values.tolist(), int(result.until[-1]))
    apart = steps[1] - steps[0] if len(steps) > 1 else 0
    values = result.train_loss.sel(step=steps).values
    known = len(steps) >= FEWEST and bool(np.isfinite(values).all())
    trendless = without_trend(values, float(result.periods[-1])) if known else values
    found = hjorth_of(trendless, float(apart)) if known else Hjorth(math.nan, math.nan, math.nan)
    return Swings(
        activity=found.activity,
        mobility=found.mobility,
        complexity=found.complexity,
        roughness=found.complexity / found.mobility,
        period=2 * math.pi / found.mobility,
        samples=len(steps),
        apart=apart,
        last_looked_at=steps[-1] if steps else 0,
    )


def figure(result: xr.Dataset) -> list[Curves | Table]:
    looked_at = result.train_loss.where(result.step <= int(result.last_looked_at))
    names = ("activity", "mobility", "complexity", "roughness", "period")
    numbers = [float(result[name]) for name in names]
    texts = [number(value, 4) if np.isfinite(value) else "" for value in numbers]
    values = {"": xr.DataArray(texts, {"descriptor": list(names)})}
    return [
        Curves(titled(SIGNAL, result), {"train": in_units(looked_at, result)}, log=True, width="half"),
        Table(TABLE, values, width="half"),
    ]


def summary(result: xr.Dataset) -> Finding:
    claims = Claims(result, TABLE)
    names = ("activity", "mobility", "complexity", "roughness", "period")
    records = {name: claims.end(name) for name in names}
    claims.panel = titled(SIGNAL, result)
    records |= {"samples": claims.end("samples"), "last_looked_at": claims.step("last_looked_at")}
    sentence = (
        "Over {samples:checkpoint} up to {last_looked_at:step} the train loss without its trend has the activity "
        "{activity:2}; it swings once in {period:2} steps, a mobility of {mobility:2}, and its complexity is "
        "{roughness:2} times that"
    )
    return Finding(f"{sentence}.", records, chapter="how", rank=90)
