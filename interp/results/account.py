"""What a result looks like and says: the measure's panels and its summary, or why it has nothing to say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from interp.catalogue.names import module_of
from interp.figures.choice import default
from interp.figures.plotly_figure import panel_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from interp.summaries import Summary

NOTHING = "nothing_to_say"
"""The attribute of a result that says where, and why, its measure had no answer."""


@dataclass(frozen=True)
class Silent:
    """What stands in the place of a result whose measure has no answer at any step."""

    label: str
    measure: str
    reason: str


def told(reasons: Iterable[str]) -> str:
    """The reasons for blank rows, each once, with how many there are of it: "the task has no order (at 3 steps)"."""
    counted = Counter(reasons)
    return "; ".join(f"{reason} (at {count} step{'s' * (count > 1)})" for reason, count in counted.items())


def panels(measure: str, result: xr.Dataset) -> list[Any]:
    """The measure's own `figure(result)`, or a panel for each array, chosen by its axes."""
    own = getattr(module_of("measures", measure), "figure", None)
    return list(own(result)) if own else default(result)


def summary(measure: str, result: xr.Dataset) -> Summary | None:
    """What the measure's `summary(result)` says of the whole run, from the steps at which it has an answer."""
    own = getattr(module_of("measures", measure), "summary", None)
    blank = blank_steps(result)
    return own(result.isel(step=~blank) if blank.any() else result) if own else None


def blank_steps(result: xr.Dataset) -> np.ndarray:
    """[step] True where a result has no numbers at all: the weights were not finite, or the measure says nothing."""
    numbers = [array for array in result.data_vars.values() if array.dtype.kind == "f" and "step" in array.dims]
    if not numbers:
        return np.zeros(result.sizes.get("step", 0), bool)
    return np.all([array.isnull().all([dim for dim in array.dims if dim != "step"]) for array in numbers], axis=0)


def show_panel(measure: str, result: xr.Dataset, title: str | None, step: int | None = None) -> go.Figure:
    """The panel of a measure titled `title`; else the first, or, given a step, the first that moves with it."""
    return panel_figure(panels(measure, result), title, step)
