"""What became of runs over two settings: a cell for each pair of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.figures.axes import axis_title, in_brackets, labels
from interp.figures.panel import DrawnPanel

LOUD = 12
"""At most so many cells a side have their numbers written in them."""


@dataclass(frozen=True)
class PhaseDiagram:
    """A number over two axes of a sweep, the runs of a cell together: their mean, or of times their median.

    Runs differ along all other axes, such as the seed. A cell says how many of its runs have a number, where that
    differs from all of them: "3 of 5". A share is the mean of zeros and ones, so a cell shows the share of its runs.
    """

    title: str
    array: xr.DataArray
    """[y, x, other axes …]; NaN where a run is missing or has no number."""
    x: str
    y: str
    percent: bool = False
    """Whether the numbers are shares, or yes and no."""
    median: bool = False
    width: str = "half"

    def draw(self) -> DrawnPanel:
        others = [dim for dim in self.array.dims if dim not in (self.x, self.y)]
        values = self.array.transpose(self.y, self.x, *others).values.astype(float)
        runs: Float[np.ndarray, "y x run"] = values.reshape(*values.shape[:2], -1)
        cells = _of_cells(runs, self.median and not self.percent)
        counted = np.isfinite(runs).sum(axis=-1)
        columns, rows = self.array[self.x], self.array[self.y]
        trace: dict[str, Any] = {
            "type": "heatmap",
            "x": [str(label) for label in labels(columns)],
            "y": [str(label) for label in labels(rows)],
            "z": cells,
            "colorscale": "role:sequential",
            "showscale": False,
            "colorbar": {"title": {"text": in_brackets(self.array).strip("[]")}},
            "customdata": _counts(counted, runs.shape[-1]),
            "hovertemplate": f"{axis_title(rows)} %{{y}}, {axis_title(columns)} %{{x}}: "
            f"%{{z:{'.0%' if self.percent else '.4g'}}}%{{customdata}}<extra></extra>",
            "xgap": 1,
            "ygap": 1,
        }
        if self.percent:
            trace |= {"zmin": 0.0, "zmax": 1.0}
        if max(cells.shape) <= LOUD:
            trace["texttemplate"] = "%{z:.0%}" if self.percent else "%{z:.3~s}"
        layout = {
            "xaxis": {"title": {"text": axis_title(columns)}, "type": "category"},
            "yaxis": {"title": {"text": axis_title(rows)}, "type": "category"},
        }
        height = int(np.clip(34 * len(rows) + 70, 200, 480))
        return DrawnPanel(self.title, {"data": [trace], "layout": layout}, width=self.width, height=height)


def _of_cells(runs: Float[np.ndarray, "y x run"], median: bool) -> Float[np.ndarray, "y x"]:
    """The mean or the median of the runs of each cell that have a number; NaN where none has."""
    cells = np.full(runs.shape[:2], np.nan)
    known = np.isfinite(runs).any(axis=-1)
    cells[known] = (np.nanmedian if median else np.nanmean)(runs[known], axis=-1)
    return cells


def _counts(counted: np.ndarray, runs: int) -> list[list[str]]:
    """What stands behind a cell's number: of how many of its runs it is; nothing where there is one run a cell."""
    said = {n: f", {n} of {runs} runs" if n < runs else f", {runs} runs" for n in range(runs + 1)}
    return [[said[int(n)] if runs > 1 else "" for n in row] for row in counted]
