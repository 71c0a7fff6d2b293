"""How long the test accuracy lags behind the train accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import xarray as xr

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.figures import Table
from interp.findings import Claims, Finding
from interp.measures.shared.reached import (
    SETS,
    USUAL,
    Share,
    ask_for_several,
    in_steps,
    last_step,
    no_longer,
    reached,
    told,
)
from interp.measures.time_to import TimeTo
from interp.summaries import number

TITLE = "Delay of the test accuracy"


@dataclass(frozen=True)
class Delay(TimeTo):
    pass


def delay(checkpoint: Checkpoint, train_accuracy: Share = USUAL, test_accuracy: Share = USUAL) -> Delay:
    r"""Grokking is a delay: the test accuracy comes long after the train accuracy.

    Told is the number of steps from the first checkpoint at which so large a share of the training examples, or more,
    is answered right, to that of the test examples. Checkpoints leave it open by as much as they lie apart: it is less
    than from the last before the first to the second, and more than from the first to the last before the second.
    Where the test accuracy is not reached within the run the delay is censored: it is more than the steps that were
    left. It is negative where the test accuracy comes first.

    Formula: t_\text{test}(r) - t_\text{train}(r')

    Paper: Power et al. 2022, arXiv 2201.02177; Liu et al. 2022, arXiv 2205.10343
    """
    found = checkpoint.measure("time_to", train_accuracy=train_accuracy, test_accuracy=test_accuracy)
    if found.test_accuracy.isnan():
        raise NothingToSay("there are no test examples")
    return Delay(found.train_accuracy, found.test_accuracy, found.train_bar, found.test_bar)


@dataclass(frozen=True)
class Delayed:
    delay: float
    """Steps from the train accuracy to the test accuracy; NaN where one of them was not reached"""
    at_least: float
    """Least that the delay may be, as far as the checkpoints tell; NaN where the train accuracy was not reached"""
    at_most: float
    """Most that the delay may be, as far as the checkpoints tell; NaN where the test accuracy was not reached"""
    times: float
    """Steps to the test accuracy over those to the train accuracy; NaN where the delay is, or the latter are 0"""
    censored: bool
    """The train accuracy was reached within the run, the test accuracy was not"""
    train_step: float
    """First step at which the train accuracy was as high as was asked; NaN where it never was"""
    train_not_yet: float
    """Last step before it that was looked at; NaN where there is none"""
    test_step: float
    """First step at which the test accuracy was as high as was asked; NaN where it never was"""
    test_not_yet: float
    """Last step before it that was looked at; NaN where there is none"""
    last_step: int
    """Last step that was looked at"""


def over_run(result: xr.Dataset) -> Delayed:
    train, test = (reached(result[f"{name}_accuracy"], float(result[f"{name}_bar"][-1])) for name in SETS)
    return Delayed(
        delay=test.step - train.step,
        at_least=test.earliest - train.step,
        at_most=test.step - train.earliest,
        times=test.step / train.step if train.step else math.nan,
        censored=math.isnan(test.step) and not math.isnan(train.step),
        train_step=train.step,
        train_not_yet=train.not_yet,
        test_step=test.step,
        test_not_yet=test.not_yet,
        last_step=last_step(result),
    )


def figure(result: xr.Dataset) -> list[Table]:
    rows = {
        "steps between": result.delay,
        "at least": result.at_least,
        "at most": result.at_most,
        "times as late": result.times,
    }
    texts = [number(float(one), 3) if math.isfinite(float(one)) else "" for one in rows.values()]
    if bool(result.censored):
        texts[0] = f"more than {texts[1]}"
    return [Table(TITLE, {"value": xr.DataArray(texts, {"delay": list(rows)})})]


def summary(result: xr.Dataset) -> Finding:
    ask_for_several(result)
    claims = Claims(result, TITLE)
    (train, of_train), (test, of_test) = (told(claims, name, f"{name}_bar") for name in SETS)
    records = {**of_train, **of_test}
    if not claims.known("train_step"):
        return Finding(f"There is no delay to tell: {train}.", of_train, chapter="when", rank=25)
    records["at_least"] = claims.end("at_least")
    if bool(result.censored) and not records["at_least"].value:
        sentence = f"The delay is open, for the run ends there: {train}; {test}"
        return Finding(f"{sentence}.", records, chapter="when", rank=25)
    if bool(result.censored):
        sentence = f"The delay is more than {in_steps('at_least', records)}, the rest of the run: {test}"
        return Finding(f"{sentence}.", records, chapter="when", rank=25)
    records |= {"delay": claims.end("delay"), "at_most": claims.end("at_most")}
    bars = "{test_bar:%} of the test examples"
    if records["delay"].value < 0:
        sentence = f"There is no delay: {bars} were right by {{test_step:step}}, before the training examples were"
    elif not records["delay"].value:
        sentence = f"There is no delay that its checkpoints show: {train}, and {bars} as well"
    else:
        sentence = f"{bars} were right {in_steps('delay', records)} after {{train_bar:%}} of the training examples were"
        if claims.known("times") and f"{(times := claims.end('times')):2}" != "1":
            records["times"] = times
            sentence += ", {times:2} times as late"
        sentence += f" (by its checkpoints {{at_least}} to {in_steps('at_most', records)})"
    lost, of_it = no_longer(claims, "test", of_test["test_bar"])
    if lost:
        records |= of_it
        sentence += "; at the end only {test_accuracy:.1%} of the test examples are"
    return Finding(f"{sentence}.", records, chapter="when", rank=25)
