"""One quantity against another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import PERCENT, array_title, axis_name, decades_per_tick, finite, labels, positive
from interp.figures.panel import DrawnPanel

ROLES = ("train", "test", "restricted", "excluded", "novel", "all", "plateau", "abandoned")
"""The colour roles of words, in their order."""
MOST_LARGE = 300
"""More points than these are drawn smaller."""


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
    colour: xr.DataArray | None = None
    """[axis]: a number that colours each point; NaN of one that has none."""
    words: tuple[str, ...] = ()
    """What the colours' numbers are places of, where each word has a colour of its own."""
    log_x: bool = False
    log_y: bool = False
    percent: bool = False
    """Whether y is a share."""
    width: str = "full"

    def draw(self) -> DrawnPanel:
        axis = self.x[self.x.dims[0]]
        x = positive(self.x.values) if self.log_x else self.x.values
        y = positive(self.y.values) if self.log_y else self.y.values
        kind = "" if axis.name in ("run", "member") else f"{axis_name(axis)} "  # a run's name says what it is
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": y,
            "hovertext": [f"{kind}{label}" for label in labels(axis)],
            "hovertemplate": f"%{{hovertext}}: %{{x:.4g}}, %{{y:{'.1%' if self.percent else '.4g'}}}<extra></extra>",
            "marker": {"size": 8 if len(axis) <= MOST_LARGE else 5, "color": "role:train"},
        }
        if self.x_error is not None:
            error = {"type": "data", "array": self.x_error.values, "color": "role:quiet", "thickness": 1, "width": 0}
            trace["error_x"] = error
        layout: dict[str, Any] = {
            "xaxis": {"title": {"text": array_title(self.x)}} | (_log_axis(finite(x)) if self.log_x else {}),
            "yaxis": {"title": {"text": array_title(self.y)}}
            | (PERCENT if self.percent else _log_axis(finite(y)) if self.log_y else {}),
        }
        traces = [trace] if self.colour is None else self._coloured(trace, self.colour)
        if self.colour is not None and self.words:
            layout |= {"showlegend": True, "legend": {"title": {"text": array_title(self.colour)}}}
        return DrawnPanel(self.title, {"data": traces, "layout": layout}, width=self.width, height=340)

    def _coloured(self, trace: dict[str, Any], colour: xr.DataArray) -> list[dict[str, Any]]:
        """The points by their colours: a trace for each word, or one on a scale; those without one are quiet."""
        known = np.isfinite(colour.values)
        if not self.words:
            bar = {"title": {"text": array_title(colour)}, "thickness": 10}
            scale = {"color": colour.values[known], "colorscale": "role:order", "showscale": True, "colorbar": bar}
            groups = [("", known, scale)]
        else:
            groups = [
                (word, colour.values == place, {"color": f"role:{ROLES[place % len(ROLES)]}"})
                for place, word in enumerate(self.words)
            ]
        groups += [("none", ~known, {"color": "role:quiet"})] if not known.all() else []
        return [
            trace | _some(trace, chosen) | {"name": name, "marker": trace["marker"] | marker}
            for name, chosen, marker in groups
        ]


def _some(trace: dict[str, Any], chosen: np.ndarray) -> dict[str, Any]:
    """What a trace holds of these points alone."""
    named = [text for text, there in zip(trace["hovertext"], chosen, strict=True) if there]
    some = {"x": trace["x"][chosen], "y": trace["y"][chosen], "hovertext": named}
    if error := trace.get("error_x"):
        some["error_x"] = error | {"array": error["array"][chosen]}
    return some


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
