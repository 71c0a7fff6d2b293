"""One bar for each place of an axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import axis_in_hover, axis_title, finite, in_brackets, labels, ordered
from interp.figures.panel import DrawnPanel, Moving

NAMES = {"textposition": "outside", "textangle": 0, "constraintext": "none", "cliponaxis": False}
"""How the names above highlighted bars stand."""
MOST_NAMES = 12
"""So many highlighted bars have their names above them; more would lie on one another."""
MOST_BELOW = 24
"""So many bars of an axis of words have all their names below them; of more, some have."""


@dataclass(frozen=True)
class Bars:
    """One bar per place of an axis, at the step of the slider; `highlight` colours those where its mask is True."""

    title: str
    array: xr.DataArray
    """[step, axis]."""
    highlight: Mapping[str, xr.DataArray] | None = None
    """Colour role -> [axis] or [step, axis], of which the last step counts."""
    percent: bool = False
    width: str = "half"

    def draw(self) -> DrawnPanel:
        axis = self.array[next(str(dim) for dim in self.array.dims if dim != "step")]
        moves = "step" in self.array.dims
        (values,) = ordered([self.array], str(axis.name))
        low, high = (float(end) for end in (finite(values).min(initial=0.0), finite(values).max(initial=0.0)))
        trace = {
            "type": "bar",
            "x": labels(axis),
            "y": values[-1] if moves else values,
            "marker": {"color": self._colours(len(axis))},
            "text": self._names(axis),
            "textfont": {"size": 12},
            **NAMES,
            "hovertemplate": f"{axis_in_hover(axis, 'x')}: %{{y:{'.1%' if self.percent else '.4g'}}}<extra></extra>",
        }
        y_axis = {"tickformat": ".0%"} if self.percent else {"title": {"text": in_brackets(self.array)}}
        layout = {
            "xaxis": {"title": {"text": axis_title(axis)}, **_of_words(axis)},
            "yaxis": {"range": [low * 1.12, high * 1.12 or 1.0], **y_axis},
            "bargap": 0.25,
        }
        figure = {"data": [trace], "layout": layout}
        if not moves:
            return DrawnPanel(self.title, figure, width=self.width)
        return DrawnPanel(self.title, figure, self.array.step.values, (Moving(0, "y", values),), width=self.width)

    def _masks(self) -> dict[str, np.ndarray]:
        """Colour role -> mask over the bars, at the last step."""
        return {
            role: (mask.isel(step=-1) if "step" in mask.dims else mask).values
            for role, mask in (self.highlight or {}).items()
        }

    def _colours(self, bars: int) -> list[str]:
        colours = ["role:quiet"] * bars
        for role, mask in self._masks().items():
            colours = [f"role:{role}" if marked else colour for marked, colour in zip(mask, colours, strict=True)]
        return colours

    def _names(self, axis: xr.DataArray) -> list[str]:
        """The names of the highlighted bars, where they are few, and do not all stand below them anyway."""
        marked = np.any(list(self._masks().values()), axis=0) if self.highlight else np.zeros(len(axis))
        few = marked.sum() <= MOST_NAMES and not (_of_words(axis) and len(axis) <= MOST_BELOW)
        return [str(label) if mark and few else "" for label, mark in zip(labels(axis), marked, strict=True)]


def _of_words(axis: xr.DataArray) -> dict[str, Any]:
    """Where an axis of words has their names, at most 24 of them; of one of numbers nothing need be said."""
    if axis.dtype.kind not in "UO":
        return {}
    return {"type": "category", "tickvals": labels(axis)[:: math.ceil(len(axis) / MOST_BELOW)]}
