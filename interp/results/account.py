"""What a result looks like and says: the measure's panels and its summary, or why it has nothing to say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from interp.catalogue.names import module_of
from interp.figures.choice import default
from interp.figures.plotly_figure import panel_figure
from interp.findings import Finding, UndefinedError
from interp.findings.finding import literal
from interp.findings.recompute import answered
from interp.summaries import Summary

if TYPE_CHECKING:
    import plotly.graph_objects as go

NOTHING = "nothing_to_say"
"""The attribute of a result that says where, and why, its measure had no answer."""
NOTHING_AT_END = "nothing_to_say_at_the_end"
"""The attribute that says why there is none at the last step, where there is none."""
FINDINGS = "findings"
"""The attribute that holds, as JSON, what the measure found and the records of what it claims."""

STORED = "stored_findings"
"""The attribute of a result of which the findings alone are of all its steps, and are told as they stand there."""


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


def findings(measure: str, result: xr.Dataset) -> tuple[Finding, ...]:
    """What the measure's `summary(result)` says of the whole run, from the steps at which it has an answer.

    Where the run ends with a step at which there is no such number, that is said first. Where not all steps are there
    the findings are those that were made of all, their sentences alone. Raises TypeError where the
    summary is something else than a finding, a sentence, several of these, or None.
    """
    if STORED in result.attrs:
        return tuple(
            Finding(literal(one["sentence"]), chapter=one["chapter"], rank=one["rank"])
            for one in json.loads(result.attrs.get(FINDINGS, "[]"))
        )
    own = getattr(module_of("measures", measure), "summary", None)
    if own is None:
        return ()
    blank = blank_steps(result)
    if "step" in result.dims and blank.all():
        return ()
    try:
        said = own(result.isel(step=~blank) if blank.any() else result)
    except UndefinedError:
        return ()
    found = [_finding(one) for one in (said if isinstance(said, list | tuple) else [said]) if one is not None]
    if "step" in result.dims:
        reason = str(result.attrs.get(NOTHING_AT_END, ""))
        steps = result.step.values
        found = [one.as_of(int(steps[-1]), int(steps[~blank][-1]), reason) for one in found]
        if len(steps) == 1:
            found = [one.of_one_step() for one in found]
    return tuple(found)


def _finding(said: Any) -> Finding:
    if isinstance(said, Finding):
        return said
    if isinstance(said, Summary | str):
        return Finding.without_records(said)
    raise TypeError(
        f"it is a {type(said).__name__}; return an interp.findings.Finding, a list of them, a sentence, or None"
    )


def records(measure: str, result: xr.Dataset) -> str:
    """The findings as JSON, which stands in the result beside its arrays; none where the measure's `summary` fails."""
    try:
        found = findings(measure, result)
    except Exception:  # whatever a measure's own code raises: the report tells it
        found = ()
    return json.dumps([one.plain() for one in found], ensure_ascii=False, default=str)


def blank_steps(result: xr.Dataset) -> np.ndarray:
    """[step] True where a result has no numbers at all: the weights were not finite, or the measure says nothing."""
    return ~answered(result)


def show_panel(measure: str, result: xr.Dataset, title: str | None, step: int | None = None) -> go.Figure:
    """The panel of a measure titled `title`; else the first, or, given a step, the first that moves with it."""
    return panel_figure(panels(measure, result), title, step)
