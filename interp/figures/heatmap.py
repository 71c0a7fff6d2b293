"""A matrix in colour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import axis_in_hover, axis_title, end_to_end, finite, labels, ordered
from interp.figures.panel import DrawnPanel, Moving

NAMED_ROW, NAMED_ROWS = 16, 32
"""Pixels that a row with a name takes, and at most so many rows that all have theirs."""
NAMED_COLUMNS = 16
"""At most so many columns that all have their names."""


@dataclass(frozen=True)
class Heatmap:
    """A matrix in colour: over training where one of its axes is the step, else one frame for each step.

    All frames have one scale: it begins at `paper` where no number is negative, and is symmetric about 0 otherwise.
    """

    title: str
    array: xr.DataArray
    """[step, y] or [step, y, x]."""
    x: str
    y: str
    width: str = "full"
    paper: float = 0.0
    """The value that has the colour of the page; below the smallest, all can be told from what is not there."""
    path: tuple[xr.DataArray, xr.DataArray] | None = None
    """[step, place]: the places along x and y that a line over the matrix leads through, where both are numbers."""

    def draw(self) -> DrawnPanel:
        moves = "step" in self.array.dims and "step" not in (self.x, self.y)
        columns, rows = self.array[self.x], self.array[self.y]
        (values,) = ordered([self.array], self.y, self.x) if moves else [self.array.transpose(self.y, self.x).values]
        signed = bool((values < 0).any())
        top = float(np.quantile(np.abs(finite(values)), 0.999)) if np.isfinite(values).any() else 1.0
        trace = {
            "type": "heatmap",
            "x": labels(columns),
            "y": labels(rows),
            "z": values[-1] if moves else values,
            "zmin": -top if signed else self.paper,
            "zmax": top or 1.0,
            "colorscale": "role:diverging" if signed else "role:sequential",
            "showscale": False,
            "hovertemplate": f"{axis_in_hover(columns, 'x')}, {axis_in_hover(rows, 'y')}: %{{z:.3g}}<extra></extra>",
        }
        x_axis, y_axis = _axis(columns, NAMED_COLUMNS), _axis(rows, NAMED_ROWS)
        if self.x == "step":
            x_axis["range"] = end_to_end(columns.values)
        traces, moving = [trace], [Moving(0, "z", values)]
        if self.path is not None:
            places = ordered(list(self.path))  # each [step, place] or [place]
            x, y = (one[-1] if moves else one for one in places)
            line = {"type": "scatter", "mode": "lines+markers", "x": x, "y": y, "hoverinfo": "skip"}
            traces.append(line | {"line": {"color": "role:accent", "width": 1}, "marker": {"size": 4}})
            moving += [Moving(1, "x", places[0]), Moving(1, "y", places[1])]
            x_axis["range"], y_axis["range"] = end_to_end(columns.values), end_to_end(rows.values)
        figure = {"data": traces, "layout": {"xaxis": x_axis, "yaxis": y_axis}}
        named = NAMED_ROW * len(y_axis.get("tickvals", ()))
        if not moves:
            height = max(named, 240)
            return DrawnPanel(self.title, figure, time_axis=self.x == "step", width=self.width, height=height)
        height = int(np.clip(max(named, 6 * len(rows)), 220, 520))
        steps = self.array.step.values
        return DrawnPanel(self.title, figure, steps, tuple(moving), width=self.width, height=height)


def _axis(axis: xr.DataArray, named: int) -> dict[str, Any]:
    """An axis with its title; one of words needs none, and of more than `named` words only some are shown."""
    if axis.dtype.kind not in "UO":
        return {"title": {"text": axis_title(axis)}}
    names = labels(axis)
    shown = names if len(names) <= named else names[1 :: 2 * math.ceil(len(names) / 32)]
    return {"type": "category", "tickvals": shown}
