"""From a number in a sentence to where it can be seen: the address of its panel at its step, and the marks there."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import xarray as xr

from interp.findings import Claim, UndefinedError, recompute
from interp.report.content import Section
from interp.report.json_values import plain

NAMING = ("label", "labels", "lowest label")
"""Reductions that give labels of an axis, not numbers."""


@dataclass(frozen=True)
class Link:
    """Where the value of a record can be seen."""

    address: str
    """What follows the "#": "run=quick&step=14000&panel=quick-loss-0"."""
    title: str
    """The same in words: "Loss, step 14,000"."""
    value: float | None
    """What the record's array holds at that step: the height of the point that is ringed."""
    labels: tuple[Any, ...]
    """The places along the array's other axes: the bars, rows or points that are ringed."""

    @property
    def mark(self) -> str:
        """What the page's script needs to find the marks, as JSON."""
        return json.dumps({"value": self.value, "labels": self.labels}, ensure_ascii=False)


class Links:
    """The links of a group of sections: those of one run, or of all runs together."""

    def __init__(self, group: str, sections: Sequence[Section], last: int | None) -> None:
        """`group` is the address of the run; `last` is its last step, None where there are no steps."""
        self.group, self._last = group, last
        self.sections = {section.label: section for section in sections}
        self._marks: dict[str, list[tuple[float | None, tuple[Any, ...]]]] = {}

    def link(self, label: str, claim: Claim) -> Link:
        """Where a value of the measure with this label can be seen: in its panel, else anywhere in its section.

        Values at one step of one panel have addresses that differ in `mark`, for their marks differ.
        """
        section = self.sections[label]
        titles = [panel.title for panel in section.panels]
        shown = claim.panel in titles
        panel = f"{self.group}-{label}-{titles.index(claim.panel)}" if shown else f"{self.group}-{label}"
        step = claim.step if claim.step is not None or claim.about != "end" else self._last
        place = {"run": self.group} | ({} if step is None else {"step": step}) | {"panel": panel}
        value, labels = mark = self._mark(section, claim)
        marks = self._marks.setdefault(urlencode(place), [])
        if mark not in marks:
            marks.append(mark)
        number = marks.index(mark)
        address = urlencode(place | ({"mark": number + 1} if number else {}))
        title = claim.panel if shown else section.heading
        return Link(address, title if step is None else f"{title}, step {step:,}", value, labels)

    def _mark(self, section: Section, claim: Claim) -> tuple[float | None, tuple[Any, ...]]:
        """The value of the record's own array at its step, whatever the sentence makes of it, and its labels."""
        where = claim.where if claim.step is None else "step"
        own = replace(claim, where=where, gives="value", combined=None, other=None)
        labels = [label for one in claim.labels.values() for label in (one if isinstance(one, list | tuple) else [one])]
        try:
            value = recompute(own, self._arrays(section.label))
        except (UndefinedError, KeyError, ValueError):  # an array that the page has not
            value = None
        if claim.reduction in NAMING:
            labels += value if isinstance(value, tuple) else [value] if value is not None else []
        has_height = isinstance(value, int | float) and claim.reduction not in NAMING and value != claim.step
        height = value if has_height else None
        return plain(height), tuple(plain(labels))

    @functools.cache  # noqa: B019 (it lives as long as the page is laid out)
    def _arrays(self, label: str) -> xr.Dataset:
        variables = self.sections[label].variables
        return xr.Dataset({v.name: xr.DataArray(v.values, v.coords, v.dims) for v in variables})
