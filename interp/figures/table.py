"""Numbers that are read and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.axes import axis_name, labels
from interp.figures.panel import DrawnPanel
from interp.summaries import number

ROW_HEIGHT = 24
MOST_HEIGHT = 560
"""Pixels; a longer table scrolls in a notebook. A report has a table of HTML in its place, of all rows."""
NUMBER = r"[-−+]?(\d[\d,]*\.?\d*|\.\d+)([eE][-−+]?\d+|×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?%?"
"""A number as one writes it: "12,769", "−0.35", ".04", "1.5e-07", "2×10⁻⁹", "85%"."""
NUMERIC = re.compile(rf"{NUMBER}( ± {NUMBER})?")


@dataclass(frozen=True)
class Table:
    """Arrays over one axis beside one another, a row for each place of it.

    Numbers have `digits` significant digits; where there is none the cell is empty. Columns of numbers, and of texts
    that are numbers, stand to the right. `highlight` colours the rows where its mask is True.
    """

    title: str
    columns: Mapping[str, xr.DataArray]
    """Heading -> [axis], numbers or text."""
    highlight: Mapping[str, xr.DataArray] | None = None
    """Colour role -> [axis]."""
    digits: int = 7
    links: xr.DataArray | None = None
    """[axis]: where the name of a row leads on a page, a path relative to it; "" where it leads nowhere."""
    width: str = "full"

    def draw(self) -> DrawnPanel:
        first = next(iter(self.columns.values()))
        axis = first[first.dims[0]]
        colours = ["role:ink"] * len(axis)
        for role, mask in (self.highlight or {}).items():
            colours = [f"role:{role}" if marked else colour for marked, colour in zip(mask, colours, strict=True)]
        look = {"line": {"color": "role:grid"}, "fill": {"color": "role:paper"}, "height": ROW_HEIGHT}
        arrays = [labels(axis), *(array.values for array in self.columns.values())]
        cells = [_cells(values, self.digits) for values in arrays]
        numeric = [all(NUMERIC.fullmatch(cell) for cell in column if cell) for column in cells]
        align = ["right" if numbers else "left" for numbers in numeric]
        heads = [axis_name(axis), *self.columns]
        trace: dict[str, Any] = {
            "type": "table",
            "header": {"values": heads, "align": align, "font": {"color": "role:muted"}, **look},
            "cells": {"values": cells, "align": align, "font": {"color": [colours]}, **look},
            "columnwidth": [2.2, *(1.0 if numbers else 1.4 for numbers in numeric[1:])],
        }
        if self.links is not None:
            trace["meta"] = {"links": [str(link) for link in self.links.values]}
        figure = {"data": [trace], "layout": {"margin": {"l": 0, "r": 0, "t": 0, "b": 0}}}
        height = min(ROW_HEIGHT * (len(axis) + 1) + 12, MOST_HEIGHT)
        return DrawnPanel(self.title, figure, width=self.width, height=height)


def _cells(values: np.ndarray, digits: int) -> list[str]:
    """A column in words; the signs of its numbers are true minus signs."""
    cells = [_cell(value, digits) for value in values]
    return [cell.replace("-", "−") if NUMERIC.fullmatch(cell) else cell for cell in cells]


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return number(float(value), digits) if np.isfinite(value) else ""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return number(int(value))
    return str(value)
