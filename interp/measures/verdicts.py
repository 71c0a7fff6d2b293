"""What became of each run, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool

from interp.checkpoints import Run
from interp.errors import NothingToSay
from interp.figures import Table
from interp.findings import Claim, Claims, Finding
from interp.summaries import listed, percent

OUTCOMES = ("grokked", "generalised", "memorised", "neither")


@dataclass(frozen=True)
class OfOneRun:
    outcome: str
    """What the run came to, as `outcome` says; blank where it says nothing"""
    phase: str
    """Its phase, as Liu et al. define them"""
    loss_class: str
    """Its class by losses, as PAIR defines them"""
    mechanism: str
    """The verdict on its algorithm at the end, as `mechanism` says; blank where it says nothing"""
    neuron_freqs: str
    """Frequencies that a neuron follows clearly at the end"""
    logit_freqs: str
    """Frequencies that the logits use at the end"""
    train_step: float
    """Steps to 99% of the training examples; NaN where they were not enough"""
    test_step: float
    """Steps to 99% of the test examples; NaN where they were not enough"""
    delay: float
    """Steps between the two; NaN where one was not reached"""
    train_accuracy: float
    """Share of the training examples answered right at the end"""
    test_accuracy: float
    """Share of the other examples answered right at the end"""
    train_loss: float
    """Loss on the training examples at the end"""
    test_loss: float
    """Loss on the other examples at the end"""
    weight_norm: float
    """L2 norm of all weights at the end"""
    last_step: int
    """Last step of the run"""


def verdicts(run: Run) -> OfOneRun:
    r"""Runs of one recipe, or of recipes that differ little, may come to different ends.

    Of each run is told what it came to (`outcome`), when (`time_to`, `delay`), by which algorithm (`mechanism`) and on
    which frequencies (`key_freqs`), and where its losses, accuracies and weights ended. What a measure has nothing to
    say of is left empty.

    Formula: \text{delay} = t_\text{test}(99\%) - t_\text{train}(99\%)

    Paper: Power et al. 2022, arXiv 2201.02177; Liu et al. 2022, arXiv 2205.10343; Zhong et al. 2023, arXiv 2306.17844
    """
    final = run.final
    came_to, lag = _asked(lambda: run.measure("outcome")), _asked(lambda: run.measure("delay"))
    algorithm, frequencies = (_asked(lambda name=name: final.measure(name)) for name in ("mechanism", "key_freqs"))
    losses = _asked(lambda: final.measure("loss"))
    return OfOneRun(
        outcome=str(came_to.outcome.values) if came_to is not None else "",
        phase=str(came_to.phase.values) if came_to is not None else "",
        loss_class=str(came_to.loss_class.values) if came_to is not None else "",
        mechanism=algorithm.verdict if algorithm is not None else "",
        neuron_freqs=_freqs(frequencies, "clear_neurons"),
        logit_freqs=_freqs(frequencies, "logit_key"),
        train_step=_number(lag, "train_step"),
        test_step=_number(lag, "test_step"),
        delay=_number(lag, "delay"),
        train_accuracy=_number(losses, "train_accuracy"),
        test_accuracy=_number(losses, "test_accuracy"),
        train_loss=_number(losses, "train_loss"),
        test_loss=_number(losses, "test_loss"),
        weight_norm=float(final.measure("weight_norm").total),
        last_step=final.step,
    )


def _asked(measure: Callable[[], Any]) -> Any:
    """What a measure says, or None where it says nothing."""
    try:
        return measure()
    except NothingToSay:
        return None


def _number(found: Any, name: str) -> float:
    value = getattr(found, name, None)
    return math.nan if value is None else float(value)


def _freqs(found: Any, name: str) -> str:
    """The frequencies at which the field is true, or more than none: "1, 7, 24"."""
    if found is None:
        return ""
    return ", ".join(str(int(freq)) for freq, there in zip(found.freq, getattr(found, name), strict=True) if there > 0)


@dataclass(frozen=True)
class OfAllRuns:
    runs: int
    """Runs"""
    grokked: Bool[np.ndarray, " run"]
    """The outcome of the run is that it grokked"""
    generalised: Bool[np.ndarray, " run"]
    """The outcome of the run is that it generalised, and not late"""
    memorised: Bool[np.ndarray, " run"]
    """The outcome of the run is that it knows its training examples alone"""
    neither: Bool[np.ndarray, " run"]
    """The outcome of the run is that it learnt neither"""


def over_runs(result: xr.Dataset) -> OfAllRuns:
    found = {name: result.outcome.values.astype(str) == name for name in OUTCOMES}
    return OfAllRuns(runs=result.sizes["run"], **found)


VERDICTS = "What became of each run"
FREQUENCIES = "Algorithm and frequencies at the end"


def figure(result: xr.Dataset) -> list[Table]:
    verdict = {"outcome": result.outcome, "phase": result.phase, "class by losses": result.loss_class}
    when = {"to 99% train": result.train_step, "to 99% test": result.test_step, "delay": result.delay}
    shares = {
        f"{name} accuracy": result[f"{name}_accuracy"].copy(data=_shares(result[f"{name}_accuracy"].values))
        for name in ("train", "test")
    }
    ends = {**shares, "train loss": result.train_loss, "test loss": result.test_loss, "weight norm": result.weight_norm}
    panels = [
        Table(VERDICTS, {**verdict, **when, "last step": result.last_step}),
        Table("Where each run ended", ends, digits=3),
    ]
    algorithm = {"algorithm": result.mechanism, "of neurons": result.neuron_freqs, "of logits": result.logit_freqs}
    if any((column != "").any() for column in algorithm.values()):
        panels.append(Table(FREQUENCIES, algorithm))
    return panels


def _shares(values: np.ndarray) -> np.ndarray:
    return np.array([percent(float(value), 1) if np.isfinite(value) else "" for value in values])


WORDS = {
    "grokked": "{grokked} grokked",
    "generalised": "{generalised} generalised without such a delay",
    "memorised": "{memorised} knew the training examples alone",
    "neither": "{neither} learnt neither",
}


def summary(result: xr.Dataset) -> Finding | None:
    claims = Claims(result, VERDICTS)
    records: dict[str, Claim] = {"runs": claims.end("runs")}
    records |= {name: claims.end(name, "count") for name in OUTCOMES}
    there = [words for name, words in WORDS.items() if records[name].value]
    if not there:
        return None
    return Finding(f"Of {{runs:run}} {listed(there)}.", records, chapter="answer", rank=5)
