"""The panel that suits an array, chosen by its axes; for measures without a `figure` of their own."""

from __future__ import annotations

import numpy as np
import xarray as xr

from interp.figures.axes import finite, labels
from interp.figures.bars import Bars
from interp.figures.curves import Curves
from interp.figures.heatmap import Heatmap
from interp.figures.panel import Panel

MOST_LINES = 8
"""More lines than these are told apart better as the rows of a heatmap."""


def default(result: xr.Dataset) -> list[Panel]:
    """A panel for each array that can be drawn; the standard errors `x_se` are bars of the curves of `x`."""
    panels = []
    for name, array in result.data_vars.items():
        panel = of_array(array, result.get(f"{name}_se"))
        beside = result.get(str(name).removesuffix("_se"))
        if panel is not None and not (str(name).endswith("_se") and beside is not None and beside.dims == array.dims):
            panels.append(panel)
    return panels


def of_array(array: xr.DataArray, error: xr.DataArray | None = None) -> Panel | None:
    """The panel that suits an array's axes; None where no kind of panel does (text, single numbers).

    `error`, standard errors of the same axes, are bars of its curves.
    """
    title = str(array.attrs.get("long_name") or array.name or "")
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        return None
    numbers = array.astype(float)
    numbers.attrs = array.attrs
    others = [str(dim) for dim in array.dims if dim != "step"]
    if "step" not in array.dims:
        if len(others) == 1:
            return Bars(title, numbers)
        return Heatmap(title, numbers, x=others[-1], y=others[-2]) if len(others) == 2 else None
    if not others or (len(others) == 1 and array.sizes[others[0]] <= MOST_LINES):
        lines, errors = _lines(numbers, others), {} if error is None else _lines(error, others)
        return Curves(title, lines, log=_spans_decades(array.values), errors=errors)
    if len(others) == 1:
        return Heatmap(title, numbers, x="step", y=others[0])
    return Heatmap(title, numbers, x=others[1], y=others[0]) if len(others) == 2 else None


def _lines(array: xr.DataArray, others: list[str]) -> dict[str, xr.DataArray]:
    """Label -> [step]: one line, or one for each place of the other axis."""
    if not others:
        return {"all": array}
    (axis,) = others
    return {str(label): array.isel({axis: place}) for place, label in enumerate(labels(array[axis]))}


def _spans_decades(values: np.ndarray) -> bool:
    """Whether all values are positive and the largest is more than a thousand times the smallest."""
    known = finite(values)
    return bool(known.size and known.min() > 0 and known.max() > 1000 * known.min())
