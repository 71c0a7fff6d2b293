"""A record and the arrays of a result -> the value that it claims: the check of every number in a report."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from interp.findings.claim import Claim

STEP = "step"
PASSES = {"first above": 1, "first below": -1, "above for good": 1, "below for good": -1}


class UndefinedError(Exception):
    """There is no number where the record looks."""


def recompute(claim: Claim, result: xr.Dataset) -> Any:
    """The value that the record claims, from the arrays. Raises UndefinedError where they hold no number there."""
    return evaluated(claim, result)[0]


def evaluated(claim: Claim, result: xr.Dataset) -> tuple[Any, int | None]:
    """The value that the record claims, and the step at which it stands."""
    value, step = _own(claim, result)
    if claim.combined is None or claim.other is None:
        return value, step
    other, _ = evaluated(claim.other, result)
    if claim.combined == "less":
        return value - other, step
    if not other:
        raise UndefinedError(f"{claim.array} is compared with nothing")
    return (value / other if claim.combined == "over" else (value - other) / abs(other)), step


def answered(result: xr.Dataset) -> np.ndarray:
    """[step] False where a result has no numbers at all: the weights were not finite, or the measure says nothing."""
    numbers = [array for array in result.data_vars.values() if array.dtype.kind == "f" and STEP in array.dims]
    known = np.full(result.sizes.get(STEP, 0), not numbers)
    for array in sorted(numbers, key=lambda one: one.size):  # large arrays stay on disk where small ones tell
        if not known.all():
            known |= array.notnull().any([dim for dim in array.dims if dim != STEP]).values
    return known


def _own(claim: Claim, result: xr.Dataset) -> tuple[Any, int | None]:
    array = result[claim.array]
    array = array.sel({axis: label for axis, label in claim.labels.items() if axis in array.dims})
    if STEP not in array.dims:
        value = _reduced(array, claim, bar_at(claim, result, None))
        return value, int(value) if claim.gives == STEP else None
    if claim.where != STEP and array.dtype.kind != "f":
        array = array.isel({STEP: answered(result)})
    steps = array[STEP].values
    defined = _defined(array)
    if not defined.any():
        raise UndefinedError(f"{claim.array} has no number at any step")
    place = _place(claim, result, array, defined)
    step = int(steps[place])
    if claim.gives == STEP:
        return step, step
    return _reduced(array.isel({STEP: place}), claim, bar_at(claim, result, step)), step


def _defined(array: xr.DataArray) -> np.ndarray:
    """[step] Whether there is a number, or a text."""
    others = [dim for dim in array.dims if dim != STEP]
    if array.dtype.kind == "f":
        return array.notnull().any(others).values
    return (array != "").any(others).values if array.dtype.kind in "UO" else np.ones(array.sizes[STEP], bool)


def _place(claim: Claim, result: xr.Dataset, array: xr.DataArray, defined: np.ndarray) -> int:
    """The place along the steps at which the record looks."""
    known = np.flatnonzero(defined)
    if claim.where == "end":
        return int(known[-1])
    if claim.where == "start":
        return int(known[0])
    if claim.where == "step":
        places = np.flatnonzero(array[STEP].values == claim.step)
        if not len(places) or not defined[places[0]]:
            raise UndefinedError(f"{claim.array} has no number at step {claim.step}")
        return int(places[0])
    series = _series(claim, array, known)
    if claim.where in ("highest", "lowest"):
        return int(known[series.argmax() if claim.where == "highest" else series.argmin()])
    bars = [bar_at(claim, result, int(step)) for step in array[STEP].values[known]]
    holds = PASSES[claim.where] * (series - np.array(bars, float)) > 0
    if claim.where.startswith("first"):
        if not holds.any():
            raise UndefinedError(f"{claim.array} never passes its bar")
        return int(known[holds.argmax()])
    failing = np.flatnonzero(~holds)
    place = failing[-1] + 1 if len(failing) else 0
    if place == len(holds):
        raise UndefinedError(f"{claim.array} is not past its bar at the end")
    return int(known[place])


def _series(claim: Claim, array: xr.DataArray, known: np.ndarray) -> np.ndarray:
    """[place] What the record makes of each step at which there is a number. Raises UndefinedError where it is none."""
    if claim.reduction == "value" and array.dims == (STEP,):
        series = array.values[known].astype(float)
        if not np.isfinite(series).all():
            raise UndefinedError(f"{array.name} has no number there")
        return series
    return np.array([_reduced(array.isel({STEP: place}), claim, None) for place in known], float)


def bar_at(claim: Claim, result: xr.Dataset, step: int | None) -> float | None:
    """The record's bar as a number, at this step."""
    bar = claim.bar
    if bar is None or not bar.array:
        return bar.value if bar else None
    array = result[bar.array]
    places = {axis: label for axis, label in {**claim.labels, STEP: step}.items() if axis in array.dims}
    return bar.times * float(array.sel(places))


def _reduced(array: xr.DataArray, claim: Claim, bar: float | None) -> Any:
    """What the record makes of the axes that are left at one step."""
    if claim.reduction == "value":
        return _python(array.values[()], array)
    values = array.values
    if claim.reduction in ("count", "labels"):
        holds = values.astype(bool) if bar is None else values > bar
        return int(holds.sum()) if claim.reduction == "count" else tuple(_labels(array)[holds].tolist())
    if not np.isfinite(values.astype(float)).any():
        raise UndefinedError(f"{claim.array} has no number there")
    if claim.reduction in ("label", "lowest label"):
        choose = np.nanargmax if claim.reduction == "label" else np.nanargmin
        return _labels(array)[int(choose(values.astype(float)))].item()
    reduced = {"sum": np.nansum, "mean": np.nanmean, "max": np.nanmax, "min": np.nanmin}[claim.reduction](values)
    return _python(reduced, array)


def _labels(array: xr.DataArray) -> np.ndarray:
    (axis,) = array.dims
    labels = array[axis].values
    return labels.astype(str) if labels.dtype == object else labels


def _python(value: Any, array: xr.DataArray) -> Any:
    """A number or a text of Python. Raises UndefinedError where it is none."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, float) and not np.isfinite(plain):
        raise UndefinedError(f"{array.name} has no number there")
    return plain
