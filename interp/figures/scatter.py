"""One quantity against another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import PERCENT, array_title, axis_name, decades_per_tick, finite, labels, positive
from interp.figures.panel import DrawnPanel


@dataclass(frozen=True)
class Scatter:
    """One quantity against another, a point for each place of their one axis, named by it."""

    title: str
    x: xr.DataArray
    """[axis]."""
    y: xr.DataArray
    """[axis]."""
    x_error: xr.DataArray | None = None
    """[axis]: a bar of so much on either side."""
    log_x: bool = False
    percent: bool = False
    """Whether y is a share."""
    width: str = "full"

    def draw(self) -> DrawnPanel:
        axis = self.x[self.x.dims[0]]
        x = positive(self.x.values) if self.log_x else self.x.values
        kind = "" if axis.name == "run" else f"{axis_name(axis)} "  # a run's name says what it is
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": self.y.values,
            "hovertext": [f"{kind}{label}" for label in labels(axis)],
            "hovertemplate": f"%{{hovertext}}: %{{x:.4g}}, %{{y:{'.1%' if self.percent else '.4g'}}}<extra></extra>",
            "marker": {"size": 8, "color": "role:train"},
        }
        if self.x_error is not None:
            error = {"type": "data", "array": self.x_error.values, "color": "role:quiet", "thickness": 1, "width": 0}
            trace["error_x"] = error
        layout: dict[str, dict[str, Any]] = {
            "xaxis": {"title": {"text": array_title(self.x)}} | (_log_axis(finite(x)) if self.log_x else {}),
            "yaxis": {"title": {"text": array_title(self.y)}} | (PERCENT if self.percent else {}),
        }
        return DrawnPanel(self.title, {"data": [trace], "layout": layout}, width=self.width, height=340)


def _log_axis(values: np.ndarray) -> dict[str, Any]:
    """A logarithmic axis for positive values; within two decades its ticks are 1, 2 and 5 times powers of ten."""
    if values.size and values.max() >= 100 * values.min():
        return {"type": "log", "exponentformat": "power", "dtick": decades_per_tick(values)}
    decades = np.floor(np.log10(values)).astype(int) if values.size else np.array([0])
    places = [(digit, power) for power in range(decades.min(), decades.max() + 2) for digit in (1, 2, 5)]
    texts = [
        f"{digit * 10.0**power:g}" if -3 < power < 4 else f"{digit}×10<sup>{power}</sup>".replace("-", "−")
        for digit, power in places
    ]
    return {"type": "log", "tickvals": [digit * 10.0**power for digit, power in places], "ticktext": texts}
