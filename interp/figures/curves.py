"""Lines over training, or over another single axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import PERCENT, axis_title, decades_per_tick, end_to_end, finite, positive, units
from interp.figures.colours import COLOURS
from interp.figures.panel import DrawnPanel

SPARE_COLOURS = ("accent", "all", "abandoned", "novel", "muted", "quiet")
"""The colours, in turn, of lines whose label is not itself the name of a colour."""
NAME_AT_END = {"x": 1.0, "xref": "paper", "xanchor": "left", "xshift": 6, "yref": "y", "showarrow": False}
"""Where the name of a line stands."""
PARENT = {
    "text": "parent",
    "xref": "x",
    "y": 1.0,
    "yref": "paper",
    "yanchor": "top",
    "showarrow": False,
    "font": {"color": "role:muted", "size": 13},
}
"""Stands above the middle of what came before."""
NAME_GAP = 0.085
"""The least distance between two of them, as a share of the axis."""


@dataclass(frozen=True)
class Curves:
    """Lines over training (or over another single axis), labelled directly.

    A label that is a key of `COLOURS` ("train", "test", …) takes its colour. Lines with `errors` have a bar at each
    point, one standard error to either side.
    """

    title: str
    arrays: Mapping[str, xr.DataArray]
    """Label -> [step]."""
    log: bool = False
    percent: bool = False
    width: str = "full"
    errors: Mapping[str, xr.DataArray] = field(default_factory=dict)
    """Label -> [step]."""
    before: Mapping[str, xr.DataArray] = field(default_factory=dict)
    """Label -> [step] of the run from which this one started, up to there: drawn in grey, and called "parent"."""

    def after(self, parent: Curves) -> Curves:
        """These curves after those of the run from which this one started, where both are over training."""
        over_training = all(array.dims == ("step",) for array in (*self.arrays.values(), *parent.arrays.values()))
        return replace(self, before=parent.arrays) if over_training else self

    def draw(self) -> DrawnPanel:
        first = next(iter(self.arrays.values()))
        axis = first[first.dims[0]]
        values = {label: positive(array.values) if self.log else array.values for label, array in self.arrays.items()}
        before = {label: positive(array.values) if self.log else array.values for label, array in self.before.items()}
        places = [array[array.dims[0]].values for array in (*self.before.values(), first)]
        colours = _colours(list(values))
        y_axis: dict[str, Any] = {"title": {"text": units(first)}}
        if self.log:
            every = decades_per_tick(np.concatenate([*values.values(), *before.values()]))
            y_axis |= {"type": "log", "exponentformat": "power", "dtick": every}
        if self.percent:
            y_axis |= PERCENT
        layout = {
            "xaxis": {"title": {"text": axis_title(axis)}, "range": end_to_end(np.concatenate(places))},
            "yaxis": y_axis,
            "hovermode": "x unified",
            "annotations": self._names_at_ends(values, colours) if len(values) > 1 else [],
        }
        if before:
            layout["annotations"] = [*layout["annotations"], PARENT | {"x": float(places[0][[0, -1]].mean())}]
        lines = [_line_before(label, at, line) for at, (label, line) in zip(places[:-1], before.items(), strict=True)]
        lines += [self._line(label, axis.values, line, colours[label]) for label, line in values.items()]
        figure = {"data": lines, "layout": layout}
        return DrawnPanel(
            self.title, figure, time_axis=axis.name == "step", width=self.width, shows_before=bool(before)
        )

    def _line(self, label: str, places: np.ndarray, values: np.ndarray, colour: str) -> dict[str, Any]:
        line = {"type": "scatter", "mode": "lines", "name": label, "x": places, "y": values}
        line["line"] = {"color": colour, "width": 2}
        value, error = ("%{y:.2%}", "%{customdata:.2%}") if self.percent else ("%{y:.4g}", "%{customdata:.2g}")
        if label not in self.errors:
            return line | {"hovertemplate": f"{label}: {value}<extra></extra>"}
        errors = self.errors[label].values
        return line | {
            "error_y": {"type": "data", "array": errors, "color": colour, "thickness": 1, "width": 0},
            "customdata": errors,
            "hovertemplate": f"{label}: {value} ± {error}<extra></extra>",
        }

    def _names_at_ends(self, values: Mapping[str, np.ndarray], colours: Mapping[str, str]) -> list[dict[str, Any]]:
        """Each line's name beside its end, spread so that names do not lie on one another."""
        heights = {label: finite(np.log10(line) if self.log else line) for label, line in values.items()}
        known = np.concatenate(list(heights.values()))
        if not known.size:
            return []
        low, high = PERCENT["range"] if self.percent else (float(known.min()), float(known.max()))
        gap = NAME_GAP * (high - low or 1.0)
        ends = {label: float(height[-1]) for label, height in heights.items() if height.size}
        places: dict[str, float] = {}
        for label in sorted(ends, key=ends.__getitem__):
            places[label] = max([ends[label], *(place + gap for place in places.values())])
        overflow = max([*places.values(), high]) - high
        return [
            NAME_AT_END | {"y": place - overflow, "text": label, "font": {"color": colours[label], "size": 13}}
            for label, place in places.items()
        ]


def _line_before(label: str, places: np.ndarray, values: np.ndarray) -> dict[str, Any]:
    """A line of the run from which this one started."""
    name = f"parent, {label}"
    line = {"type": "scatter", "mode": "lines", "name": name, "x": places, "y": values}
    return line | {"line": {"color": "role:quiet", "width": 2}, "hovertemplate": f"{name}: %{{y:.4g}}<extra></extra>"}


def _colours(labels: list[str]) -> dict[str, str]:
    """Label -> colour role: its own where there is one of its name, else one that no label has."""
    spare = [role for role in SPARE_COLOURS if role not in labels]
    return {
        label: f"role:{label}" if label in COLOURS else f"role:{spare[place % len(spare)]}"
        for place, label in enumerate(labels)
    }
