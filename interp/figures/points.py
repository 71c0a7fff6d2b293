"""Points in a plane, such as residues on a circle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from interp.figures.axes import axis_name, finite, labels, ordered
from interp.figures.panel import DrawnPanel, Moving

NAMED_POINTS = 24
"""About so many points have their names beside them."""


@dataclass(frozen=True)
class Points:
    """Points in a plane at the step of the slider, one for each place of an axis, named by it.

    Where `choice` names another axis, the reader picks a place of it.
    """

    title: str
    x: xr.DataArray
    """[step, (choice,) axis]."""
    y: xr.DataArray
    choice: str | None = None
    width: str = "half"
    axes: tuple[str, str] = ("cosine direction", "sine direction")
    """What stands beside the axes."""

    def draw(self) -> DrawnPanel:
        axis = self.x[next(str(dim) for dim in self.x.dims if dim not in ("step", self.choice))]
        x, y = ordered([self.x, self.y], *([self.choice] if self.choice else []), str(axis.name))
        first = (0,) * bool(self.choice)
        moves = "step" in self.x.dims
        at = (-1, *first) if moves else first
        reach = float(np.abs(finite(np.array([x, y]))).max(initial=0.0)) or 1.0
        span = {"range": [-1.08 * reach, 1.08 * reach], "zeroline": False}
        names = [str(label) for label in labels(axis)]
        every = max(1, round(len(names) / NAMED_POINTS))
        trace = {
            "type": "scatter",
            "mode": "markers+text",
            "x": x[at],
            "y": y[at],
            "text": [name if place % every == 0 else "" for place, name in enumerate(names)],
            "hovertext": [f"{axis_name(axis)} {name}" for name in names],
            "hoverinfo": "text",
            "textposition": "top center",
            "textfont": {"size": 10, "color": "role:muted"},
            "marker": {"size": 7, "color": list(range(len(names))), "colorscale": "role:order"},
        }
        layout = {
            "xaxis": {**span, "title": {"text": self.axes[0]}},
            "yaxis": {**span, "scaleanchor": "x", "title": {"text": self.axes[1]}},
        }
        figure = {"data": [trace], "layout": layout}
        if not moves:
            return DrawnPanel(self.title, figure, width=self.width, height=380)
        choice = None
        if self.choice:
            chosen = self.x[self.choice]
            choice = axis_name(chosen), tuple(str(label) for label in labels(chosen))
        moving = (Moving(0, "x", x), Moving(0, "y", y))
        return DrawnPanel(self.title, figure, self.x.step.values, moving, choice=choice, width=self.width, height=380)
