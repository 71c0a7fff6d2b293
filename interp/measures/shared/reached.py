"""When an accuracy was reached, as far as the checkpoints that were looked at tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import xarray as xr
from pydantic import Field

from interp.checkpoints import Checkpoint
from interp.errors import NothingToSay
from interp.findings import Claim, Claims, UndefinedError
from interp.measures.shared.generalised import GENERALISED

Share = Annotated[float, Field(gt=0, le=1)]
"""An accuracy that is asked for."""
USUAL = GENERALISED
"""The one that counts where no other is asked for."""
SETS = ("train", "test")


def loss_of_classes(checkpoint: Checkpoint) -> Any:
    """What `loss` says of a checkpoint whose accuracies are known.

    Raises NothingToSay where the task has no classes, or nobody knows which examples were trained on.
    """
    losses = checkpoint.measure("loss")
    if losses.train_accuracy is None:
        raise NothingToSay("the task asks for values, not for classes, so there is no accuracy to be reached")
    if checkpoint.task.train is None:
        raise NothingToSay("nobody knows which examples were trained on")
    if not checkpoint.task.train.any():
        raise NothingToSay("nothing was trained on")
    return losses


@dataclass(frozen=True)
class Reached:
    """Where an accuracy was first what was asked of it: after `not_yet`, and by `step`."""

    step: float
    """The first step that was looked at at which it was; NaN where it was at none."""
    not_yet: float
    """The last before it that was looked at; NaN where there is none."""

    @property
    def earliest(self) -> float:
        """The step at which it may have been reached at the earliest."""
        return 0.0 if math.isnan(self.not_yet) else self.not_yet


def reached(accuracy: xr.DataArray, bar: float) -> Reached:
    """Where `accuracy`, an array over steps, is first `bar` or more."""
    known = accuracy.dropna("step")
    steps, holds = known.step.values, known.values >= bar
    if not holds.any():
        return Reached(math.nan, float(steps[-1]) if len(steps) else math.nan)
    first = int(holds.argmax())
    return Reached(float(steps[first]), float(steps[first - 1]) if first else math.nan)


def last_step(result: xr.Dataset) -> int:
    """The last step of a result, at which what was not reached is censored."""
    return int(result.step[-1])


def ask_for_several(result: xr.Dataset) -> None:
    """Raise UndefinedError where there is one checkpoint: what came when, or never came, is not to be told by it."""
    if result.sizes["step"] < 2:
        raise UndefinedError("there is one checkpoint")


def told(claims: Claims, name: str, bar: str, **labels: Any) -> tuple[str, dict[str, Claim]]:
    """When the accuracy on the examples of `name`, "train" or "test", was reached: half a sentence, and its records.

    The result holds `<name>_step`, `<name>_not_yet`, `<name>_accuracy`, `last_step`, and, at these labels of the array
    `bar`, what was asked for.
    """
    words = f"{{{name}_bar:%}} of the {'training' if name == 'train' else 'test'} examples"
    records = {f"{name}_bar": claims.end(bar, **labels)}
    if not claims.known(f"{name}_accuracy"):
        return "there are no test examples", {}
    if not claims.known(f"{name}_step"):
        best = claims.highest(f"{name}_accuracy")
        records |= {f"{name}_best": best, "last_step": claims.end("last_step")}
        return (
            f"never were {words} right within its {in_steps('last_step', records)}, at best {{{name}_best:.1%}}",
            records,
        )
    records[f"{name}_step"] = claims.step(f"{name}_step")
    if not claims.known(f"{name}_not_yet"):
        return f"{words} were right at its first checkpoint, {{{name}_step:step}}, already", records
    return f"{words} were right by {{{name}_step:step}}", records


def not_yet(claims: Claims, name: str) -> tuple[str, dict[str, Claim]]:
    """At which checkpoint the accuracy had not been reached, to stand behind what `told` says; "" where at none."""
    if not claims.known(f"{name}_step") or not claims.known(f"{name}_not_yet"):
        return "", {}
    return f", not yet at {{{name}_not_yet:step}}", {f"{name}_not_yet": claims.step(f"{name}_not_yet")}


def no_longer(claims: Claims, name: str, bar: Claim) -> tuple[str, dict[str, Claim]]:
    """What is left at the end, to stand behind what `told` says; "" where that is no less than was asked."""
    end = claims.maybe(f"{name}_accuracy")
    if not claims.known(f"{name}_step") or end is None or end.value >= bar.value:
        return "", {}
    return f", but only {{{name}_accuracy:.1%}} are at the end", {f"{name}_accuracy": end}


def in_steps(name: str, records: dict[str, Claim]) -> str:
    """A record as a number of steps: "20,000 steps"."""
    return f"{{{name}}} {'step' if records[name].value == 1 else 'steps'}"


def cells(result: xr.Dataset) -> dict[str, xr.DataArray]:
    """The columns of a table of both sets of examples: when each was reached, and when it had not been."""
    columns: dict[str, list[str]] = {"right by step": [], "not yet at step": []}
    for name in SETS:
        step, before = float(result[f"{name}_step"]), float(result[f"{name}_not_yet"])
        columns["right by step"].append(f"{step:,.0f}" if np.isfinite(step) else "")
        columns["not yet at step"].append(f"{before:,.0f}" if np.isfinite(before) else "")
    return {head: xr.DataArray(column, {"examples": ["training", "test"]}) for head, column in columns.items()}
