"""How many steps it takes to a train accuracy, and to a test accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import xarray as xr
from jaxtyping import Float
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.figures import Table
from interp.findings import Claims, Finding
from interp.measures.shared.reached import (
    SETS,
    USUAL,
    Share,
    ask_for_several,
    cells,
    last_step,
    loss_of_classes,
    no_longer,
    not_yet,
    reached,
    told,
)
from interp.summaries import percent

TITLE = "Steps to an accuracy"


@dataclass(frozen=True)
class TimeTo:
    train_accuracy: Float[Tensor, ""]
    """Share of the training examples answered right"""
    test_accuracy: Float[Tensor, ""]
    """Share of the other examples answered right"""
    train_bar: float
    """Train accuracy that is asked for"""
    test_bar: float
    """Test accuracy that is asked for"""


def time_to(checkpoint: Checkpoint, train_accuracy: Share = USUAL, test_accuracy: Share = USUAL) -> TimeTo:
    r"""The training examples are known soon; how long the test examples take depends on the recipe.

    Told is the first checkpoint at which so large a share of the examples, or more, is answered right, and the last
    before it at which it was not: the moment itself lies between them. What is not reached is censored at the last
    step of the run: it takes longer than that, and nobody knows how long. A share that is reached counts as reached
    even where it is lost again later.

    Over many runs take medians, not means, and count what is censored as longer than any other: so the learning-time
    curves over the size of the training set are made.

    Formula: t_S(r) = \min \{t : \mathrm{acc}_S(t) \ge r\}, \quad S \in \{\text{train}, \text{test}\}

    Paper: Power et al. 2022, arXiv 2201.02177
    """
    losses = loss_of_classes(checkpoint)
    return TimeTo(losses.train_accuracy, losses.test_accuracy, train_accuracy, test_accuracy)


@dataclass(frozen=True)
class Times:
    train_step: float
    """First step at which the train accuracy was as high as was asked; NaN where it never was"""
    train_not_yet: float
    """Last step before it that was looked at; NaN where there is none"""
    test_step: float
    """First step at which the test accuracy was as high as was asked; NaN where it never was"""
    test_not_yet: float
    """Last step before it that was looked at; NaN where there is none"""
    train_censored: bool
    """The train accuracy was not reached within the run"""
    test_censored: bool
    """The test accuracy was not reached within the run; False where there are no test examples"""
    last_step: int
    """Last step that was looked at"""


def over_run(result: xr.Dataset) -> Times:
    train, test = (reached(result[f"{name}_accuracy"], float(result[f"{name}_bar"][-1])) for name in SETS)
    return Times(
        train_step=train.step,
        train_not_yet=train.not_yet,
        test_step=test.step,
        test_not_yet=test.not_yet,
        train_censored=math.isnan(train.step),
        test_censored=math.isnan(test.step) and bool(result.test_accuracy.notnull().any()),
        last_step=last_step(result),
    )


def figure(result: xr.Dataset) -> list[Table]:
    bars = [percent(float(result[f"{name}_bar"][-1])) for name in SETS]
    return [Table(TITLE, {"share": xr.DataArray(bars, {"examples": ["training", "test"]}), **cells(result)})]


def summary(result: xr.Dataset) -> Finding:
    ask_for_several(result)
    claims = Claims(result, TITLE)
    parts, records = [], {}
    for name in SETS:
        (words, found), (before, more) = told(claims, name, f"{name}_bar"), not_yet(claims, name)
        left, of_end = no_longer(claims, name, found[f"{name}_bar"]) if found else ("", {})
        parts.append(words + before + left)
        records |= found | more | of_end
    sentence = "; ".join(parts)
    return Finding(f"{sentence[:1].upper()}{sentence[1:]}.", records, chapter="when", rank=20)
