"""What panels share: the names and labels of axes, and what can be shown of numbers on them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from interp.summaries import without_capital


def axis_name(axis: xr.DataArray) -> str:
    """The name of an axis for people, from its coordinate: what the coordinate says it is, "frequency" for `freq`.

    That is the coordinate's `long_name` up to a comma or colon, without a capital; else the axis's own name with
    blanks for underscores.
    """
    described = re.split(r"[,:]", str(axis.attrs.get("long_name", "")))[0]
    return without_capital(described) or str(axis.name).replace("_", " ")


def axis_title(axis: xr.DataArray) -> str:
    """The name of an axis and its units: "frequency", "phase [degrees]"."""
    return f"{axis_name(axis)} {in_brackets(axis)}".rstrip()


def axis_in_hover(axis: xr.DataArray, letter: str) -> str:
    """How plotly's hover text writes a place of an axis: "frequency %{x}", or "%{x}" where its labels are words."""
    return f"%{{{letter}}}" if axis.dtype.kind in "UO" else f"{axis_name(axis)} %{{{letter}}}"


def array_title(array: xr.DataArray) -> str:
    """What an array is, and its units: "Train loss [nats]"."""
    return f"{array.attrs.get('long_name') or array.name or ''} {in_brackets(array)}".strip()


def units(array: xr.DataArray) -> str:
    """The units of an array, "" where it has none."""
    return str(array.attrs.get("units", ""))


def in_brackets(array: xr.DataArray) -> str:
    """The units of an array as a title writes them, "[nats]"; "" where it has none."""
    return f"[{units(array)}]" if units(array) else ""


def labels(axis: xr.DataArray) -> np.ndarray:
    """The labels of an axis's places, numbers or texts."""
    return axis.values if axis.dtype.kind != "O" else axis.values.astype(str)


def finite(values: np.ndarray) -> np.ndarray:
    """Those of the values that are finite, in one row."""
    return values[np.isfinite(values)]


def positive(values: np.ndarray) -> np.ndarray:
    """The values with NaN in the place of what a logarithmic axis cannot show."""
    return np.where(values > 0, values, np.nan)


def decades_per_tick(values: np.ndarray) -> int:
    """How many powers of ten lie between two ticks of a logarithmic axis, so that there are about six ticks."""
    shown = finite(values[values > 0])
    return max(1, math.ceil(float(np.ptp(np.log10(shown))) / 6)) if shown.size else 1


def end_to_end(values: np.ndarray) -> list[float]:
    """The range of an axis from its first to its last place."""
    return [float(values[0]), float(values[-1])]


def ordered(arrays: Sequence[xr.DataArray], *axes: str) -> tuple[np.ndarray, ...]:
    """The values of arrays with the step, where they have one, before the other axes; the named axes last."""
    lead = ["step"] if "step" in arrays[0].dims else []
    return tuple(array.transpose(*lead, *(axes or [...])).values for array in arrays)


PERCENT: dict[str, Any] = {"tickformat": ".0%", "range": [-0.02, 1.04]}
"""A y axis of shares from 0 to 1."""
