"""What the numbers of many runs come to together: medians, with intervals over the runs, and what they go with.

The intervals take the runs as drawn alike and independently, as seeds are; over other settings they say how much so few
runs tell, and nothing of other settings.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
import xarray as xr

from interp.figures import Table
from interp.maths.intervals import median_interval
from interp.maths.rank_correlation import spearman, spearman_interval
from interp.summaries import number

REPLICATES = ("seed", "sampling_seed", "run", "fold")
"""Axes along which runs are alike but for chance."""
LEVEL = 0.95


def short_title(array: xr.DataArray) -> str:
    """What an array is, up to where it goes into detail."""
    return re.split(r"[;:]", str(array.attrs.get("long_name") or array.name))[0]


def over_the_runs(arrays: Mapping[str, xr.DataArray]) -> Table | None:
    """A row for each number that a measure says of every run: how many have one, and their median with its interval."""
    told = {
        name: array
        for name, array in arrays.items()
        if array.dtype.kind in "fi" and np.isfinite(array.values.astype(float)).any()
    }
    titles = Counter(map(short_title, told.values()))
    numbers = {
        short_title(array) + (f" ({name})" if titles[short_title(array)] > 1 else ""): array.values.ravel().astype(
            float
        )
        for name, array in told.items()
    }
    rows = {title: values[np.isfinite(values)] for title, values in numbers.items()}
    if not rows or max(map(len, numbers.values())) < 2:
        return None
    intervals = {title: median_interval(values) for title, values in rows.items()}
    columns = {
        "runs with a number": [f"{len(values):,} of {len(numbers[title]):,}" for title, values in rows.items()],
        "median": [_short(np.median(values)) for values in rows.values()],
        "95% interval of the median": [
            "" if math.isnan(low) else f"{_short(low)} to {_short(high)}" for low, high in intervals.values()
        ],
        "lowest": [_short(values.min()) for values in rows.values()],
        "highest": [_short(values.max()) for values in rows.values()],
    }
    along = {title: _goes_with(array) for title, array in zip(numbers, told.values(), strict=True)}
    if any(along.values()):
        columns["goes most with (Spearman's ρ, 95% interval)"] = list(along.values())
    axis = {"number": list(rows)}
    return Table("Over the runs", {head: xr.DataArray(texts, axis, ["number"]) for head, texts in columns.items()})


def _goes_with(array: xr.DataArray) -> str:
    """The setting whose size orders the runs most as the number does, where the interval of ρ excludes 0."""
    axes = [dim for dim in array.dims if dim not in REPLICATES and array[dim].dtype.kind in "if"]
    values, known = array.values.astype(float), np.isfinite(array.values.astype(float))
    found: list[tuple[float, str, float, float]] = []
    for axis in axes:
        labels = xr.broadcast(array[axis], array)[0].transpose(*array.dims).values[known].astype(float)
        rho = spearman(labels, values[known])
        low, high = spearman_interval(rho, int(known.sum()), 1 - (1 - LEVEL) / len(axes))
        if low > 0 or high < 0:
            found.append((rho, str(axis), low, high))
    if not found:
        return ""
    rho, axis, low, high = max(found, key=lambda one: abs(one[0]))
    return f"{axis}: {number(rho, 2)} ({number(low, 2)} to {number(high, 2)})"


def _short(value: float) -> str:
    return number(float(value), 4)
