"""A histogram with curves over it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import decades_per_tick, finite, ordered
from interp.figures.panel import DrawnPanel, Moving


@dataclass(frozen=True)
class Density:
    """A histogram with curves over it at the step of the slider, the first curve thick and the others thin.

    The density's axis is logarithmic: one Gaussian is a parabola. Both axes are the same at every step.
    """

    title: str
    middles: xr.DataArray
    """[step, bin]; its name is the quantity, and at one step all bins are equally wide."""
    heights: xr.DataArray
    """[step, bin]."""
    curves: Mapping[str, tuple[xr.DataArray, xr.DataArray]]
    """Label -> places, ascending, and density, [step, place]."""
    width: str = "half"

    def draw(self) -> DrawnPanel:
        (middles, heights), *lines = (
            [values.astype(np.float64) for values in ordered(pair)]
            for pair in ((self.middles, self.heights), *self.curves.values())
        )
        filled = finite(heights[heights > 0])
        drawn = np.concatenate([filled, *(finite(density) for _, density in lines[:1])])
        low, high = (float(0.5 * filled.min()), float(2 * drawn.max())) if filled.size else (0.1, 10.0)
        # far below one value in a bin a curve says nothing, and would leave the picture
        lines = [(places, np.where(density > 1e-3 * low, density, np.nan)) for places, density in lines]
        shown = [(middles, heights), *lines]
        moves = "step" in self.heights.dims
        last = -1 if moves else ...
        quantity = str(self.middles.name or "value").replace("_", " ")
        traces = [
            {**look, "x": x[last], "y": y[last]} for look, (x, y) in zip(self._looks(quantity), shown, strict=True)
        ]
        layout = {
            "xaxis": {"title": {"text": quantity}, "range": _edges(middles, heights)},
            "yaxis": {
                "type": "log",
                "range": [math.log10(low), math.log10(high)],
                "exponentformat": "power",
                "dtick": decades_per_tick(np.array([low, high])),
                "title": {"text": "density"},
            },
            "bargap": 0,
            "hovermode": "closest",
        }
        figure = {"data": traces, "layout": layout}
        if not moves:
            return DrawnPanel(self.title, figure, width=self.width, height=300)
        moving = tuple(
            Moving(trace, letter, values)
            for trace, pair in enumerate(shown)
            for letter, values in zip("xy", pair, strict=True)
        )
        return DrawnPanel(self.title, figure, self.heights.step.values, moving, width=self.width, height=300)

    def _looks(self, quantity: str) -> list[dict[str, Any]]:
        """What the histogram and the curves look like, without their numbers."""
        hover = f"{quantity} %{{x:.4g}}: %{{y:.3g}}<extra></extra>"
        histogram = {"type": "bar", "name": "histogram", "marker": {"color": "role:quiet", "line": {"width": 0}}}
        thick, thin = {"color": "role:accent", "width": 2.5}, {"color": "role:ink", "width": 1}
        lines = [
            {"type": "scatter", "mode": "lines", "name": label, "line": thin, "hovertemplate": f"{label}, {hover}"}
            for label in self.curves
        ]
        return [histogram | {"hovertemplate": hover}, *(line | {"line": thick} for line in lines[:1]), *lines[1:]]


def _edges(middles: np.ndarray, heights: np.ndarray) -> list[float]:
    """The outer edges of all bins that hold anything, at any step."""
    half = (np.diff(middles, axis=-1)[..., :1] / 2) if middles.shape[-1] > 1 else np.full_like(middles, 0.5)
    low, high = (finite(np.where(heights > 0, edge, np.nan)) for edge in (middles - half, middles + half))
    return [float(low.min()), float(high.max())] if low.size else [-1.0, 1.0]
