"""Numbers that are read and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import axis_name, labels
from interp.figures.panel import DrawnPanel

ROW_HEIGHT = 24
MOST_HEIGHT = 560
"""Pixels; a longer table scrolls."""


@dataclass(frozen=True)
class Table:
    """Arrays over one axis beside one another, a row for each place of it.

    Numbers have `digits` significant digits; where there is none the cell is empty. `highlight` colours the rows where
    its mask is True.
    """

    title: str
    columns: Mapping[str, xr.DataArray]
    """Heading -> [axis], numbers or text."""
    highlight: Mapping[str, xr.DataArray] | None = None
    """Colour role -> [axis]."""
    digits: int = 7
    width: str = "full"

    def draw(self) -> DrawnPanel:
        first = next(iter(self.columns.values()))
        axis = first[first.dims[0]]
        colours = ["role:ink"] * len(axis)
        for role, mask in (self.highlight or {}).items():
            colours = [f"role:{role}" if marked else colour for marked, colour in zip(mask, colours, strict=True)]
        look = {"line": {"color": "role:grid"}, "fill": {"color": "role:paper"}, "height": ROW_HEIGHT}
        cells = [[str(label) for label in labels(axis)]]
        cells += [[_cell(value, self.digits) for value in array.values] for array in self.columns.values()]
        numeric = [array.dtype.kind in "fiu" for array in self.columns.values()]
        align = ["left", *("right" if number else "left" for number in numeric)]
        heads = [axis_name(axis), *self.columns]
        trace = {
            "type": "table",
            "header": {"values": heads, "align": align, "font": {"color": "role:muted"}, **look},
            "cells": {"values": cells, "align": align, "font": {"color": [colours]}, **look},
            "columnwidth": [2.2, *(1.0 if number else 1.4 for number in numeric)],
        }
        figure = {"data": [trace], "layout": {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}}}
        height = min(ROW_HEIGHT * (len(axis) + 1) + 12, MOST_HEIGHT)
        return DrawnPanel(self.title, figure, width=self.width, height=height)


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}" if np.isfinite(value) else ""
    return str(value)
