"""The panels a measure can ask for; and the one that suits an array, by its axes.

A panel draws itself as a `Drawing`. The report and the notebook show the same drawing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from interp.figures.colours import COLOURS
from interp.figures.drawing import Drawing, Moving

NICE = {
    "freq": "frequency",
    "d_model": "residual dimension",
    "basis": "Fourier direction",
    "neuron": "neuron",
    "distance": "c less the answer",
}


@dataclass(frozen=True)
class Curves:
    """Lines over training (or over another single axis), labelled directly.

    A label that is a key of `COLOURS` ("train", "test", …) takes its colour. Lines with `errors` have a bar at each
    point, one standard error to either side.
    """

    title: str
    arrays: Mapping[str, xr.DataArray]  # label -> [step]
    log: bool = False
    percent: bool = False
    width: str = "full"
    errors: Mapping[str, xr.DataArray] = field(default_factory=dict)  # label -> [step]

    def draw(self) -> Drawing:
        arrays = list(self.arrays.values())
        axis = str(arrays[0].dims[0])
        x = arrays[0][axis].values
        colours = _series_colours(list(self.arrays))
        lines = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": label,
                "x": x,
                "y": _positive(array.values) if self.log else array.values,
                "line": {"color": colours[label], "width": 2},
                "hovertemplate": f"{label}: %{{y:{'.2%' if self.percent else '.4g'}}}<extra></extra>",
            }
            for label, array in self.arrays.items()
        ]
        for line in lines:
            if line["name"] in self.errors:
                line |= self._bars(self.errors[line["name"]].values, line)
        y_axis: dict[str, Any] = {"title": {"text": _units(arrays[0])}}
        if self.log:
            y_axis |= {"type": "log", "exponentformat": "power", "dtick": _decades(arrays)}
        if self.percent:
            y_axis |= {"tickformat": ".0%", "range": [-0.02, 1.04]}
        layout = {
            "xaxis": {"title": {"text": _nice(axis)}, "range": [float(x[0]), float(x[-1])]},
            "yaxis": y_axis,
            "hovermode": "x unified",
            "annotations": _direct_labels(self, colours) if len(self.arrays) > 1 else [],
        }
        return _still(self.title, lines, layout, time_axis=axis == "step", width=self.width)

    def _bars(self, errors: np.ndarray, line: Mapping[str, Any]) -> dict[str, Any]:
        number = "%{customdata:.2%}" if self.percent else "%{customdata:.2g}"
        bars = {"type": "data", "array": errors, "color": line["line"]["color"], "thickness": 1, "width": 0}
        template = line["hovertemplate"].replace("<extra>", f" ± {number}<extra>")
        return {"error_y": bars, "customdata": errors, "hovertemplate": template}


@dataclass(frozen=True)
class Heatmap:
    """A matrix in colour: over training where one of its axes is the step, else one frame per step.

    One scale for all frames, from `paper` for non-negative arrays, symmetric about 0 for signed ones.
    """

    title: str
    array: xr.DataArray  # [step, y] or [step, y, x]
    x: str
    y: str
    width: str = "full"
    paper: float = 0.0
    """The value that has the colour of the page; below the smallest, all can be told from what is not there."""

    def draw(self) -> Drawing:
        over_time = "step" in (self.x, self.y)
        array = self.array.transpose(*([] if over_time or "step" not in self.array.dims else ["step"]), self.y, self.x)
        values = array.values
        signed = bool((values < 0).any())
        top = float(np.quantile(np.abs(_finite(values)), 0.999)) if np.isfinite(values).any() else 1.0
        moves = array.ndim == 3
        trace = {
            "type": "heatmap",
            "x": _labels(array[self.x]),
            "y": _labels(array[self.y]),
            "z": values[-1] if moves else values,
            "zmin": -top if signed else self.paper,
            "zmax": top or 1.0,
            "colorscale": "role:diverging" if signed else "role:sequential",
            "showscale": False,
            "hovertemplate": f"{_nice(self.x)} %{{x}}, {_nice(self.y)} %{{y}}: %{{z:.3g}}<extra></extra>",
        }
        x_axis, y_axis = _axis(array[self.x], 16), _axis(array[self.y], NAMED_ROWS)
        layout = {"xaxis": x_axis, "yaxis": y_axis}
        if self.x == "step":
            x_axis["range"] = [float(array.step[0]), float(array.step[-1])]
        names = len(y_axis.get("tickvals", ()))
        if not moves:
            height = max(NAMED_ROW * names, 240)
            return _still(self.title, [trace], layout, time_axis=self.x == "step", width=self.width, height=height)
        height = int(np.clip(max(NAMED_ROW * names, 6 * len(array[self.y])), 220, 520))
        return _moving(self.title, [trace], layout, array, ((0, "z", values),), width=self.width, height=height)


NAMED_ROW, NAMED_ROWS = 16, 32
"""Pixels that a row with a name takes, and at most so many rows that all have theirs."""


def _axis(axis: xr.DataArray, named: int) -> dict[str, Any]:
    """Of a heatmap: names need no title, and where there are more than `named` only some are shown."""
    if axis.dtype.kind not in "UO":
        return {"title": {"text": _nice(str(axis.name))}}
    labels = _labels(axis)
    shown = labels if len(labels) <= named else labels[1 :: 2 * math.ceil(len(labels) / 32)]
    return {"type": "category", "tickvals": shown}


@dataclass(frozen=True)
class Bars:
    """One bar per place of an axis, at the step of the slider; `highlight` colours those where its mask is True."""

    title: str
    array: xr.DataArray  # [step, axis]
    highlight: Mapping[str, xr.DataArray] | None = None  # colour role -> [axis] or [step, axis]
    percent: bool = False
    width: str = "half"

    def draw(self) -> Drawing:
        axis = next(str(dim) for dim in self.array.dims if dim != "step")
        moves = "step" in self.array.dims
        array = self.array.transpose(*(["step"] if moves else []), axis)
        values = array.values
        top = max(0.0, float(_finite(values).max(initial=0.0)))
        bars = {
            "type": "bar",
            "x": _labels(array[axis]),
            "y": values[-1] if moves else values,
            "marker": {"color": self._colours(axis)},
            "text": self._names(axis),
            "textposition": "outside",
            "textangle": 0,
            "constraintext": "none",
            "textfont": {"size": 12},
            "cliponaxis": False,
            "hovertemplate": f"{_nice(axis)} %{{x}}: %{{y:{'.1%' if self.percent else '.4g'}}}<extra></extra>",
        }
        low = min(0.0, float(_finite(values).min(initial=0.0)))
        y_axis = {"range": [low * 1.12, top * 1.12 or 1.0]} | ({"tickformat": ".0%"} if self.percent else {})
        layout = {
            "xaxis": {"title": {"text": _nice(axis)}},
            "yaxis": y_axis | {"title": {"text": "" if self.percent else _axis_title(array)}},
            "bargap": 0.25,
        }
        if not moves:
            return _still(self.title, [bars], layout, width=self.width)
        return _moving(self.title, [bars], layout, array, ((0, "y", values),), width=self.width)

    def _masks(self) -> dict[str, np.ndarray]:
        """colour role -> mask over the bars, at the last step."""
        return {
            role: (mask.isel(step=-1) if "step" in mask.dims else mask).values
            for role, mask in (self.highlight or {}).items()
        }

    def _colours(self, axis: str) -> list[str]:
        colours = ["role:quiet"] * self.array.sizes[axis]
        for role, mask in self._masks().items():
            colours = [f"role:{role}" if marked else colour for marked, colour in zip(mask, colours, strict=True)]
        return colours

    def _names(self, axis: str) -> list[str]:
        """The names of the highlighted bars, where they are few."""
        marked = np.any(list(self._masks().values()), axis=0) if self.highlight else np.zeros(self.array.sizes[axis])
        labels = _labels(self.array[axis])
        return [str(label) if mark and marked.sum() <= 12 else "" for label, mark in zip(labels, marked, strict=True)]


@dataclass(frozen=True)
class Points:
    """Points in a plane at the step of the slider, one per place of an axis, named by it.

    An axis named `choice` is picked by the reader.
    """

    title: str
    x: xr.DataArray  # [step, (choice,) axis]
    y: xr.DataArray
    choice: str | None = None
    width: str = "half"

    def draw(self) -> Drawing:
        axis = next(str(dim) for dim in self.x.dims if dim not in ("step", self.choice))
        lead = [dim for dim in ("step", self.choice) if dim in self.x.dims]
        x, y = (array.transpose(*lead, axis) for array in (self.x, self.y))
        at = tuple(-1 if dim == "step" else 0 for dim in lead)
        labels = _labels(x[axis])
        reach = np.abs(_finite(np.array([x.values, y.values]))).max(initial=0.0) or 1.0
        span = [-1.08 * float(reach), 1.08 * float(reach)]
        trace = {
            "type": "scatter",
            "mode": "markers+text",
            "x": x.values[at],
            "y": y.values[at],
            "text": [str(label) if place % _every(len(labels)) == 0 else "" for place, label in enumerate(labels)],
            "hovertext": [f"{_nice(axis)} {label}" for label in labels],
            "hoverinfo": "text",
            "textposition": "top center",
            "textfont": {"size": 10, "color": "role:muted"},
            "marker": {
                "size": 7,
                "color": list(range(len(labels))),
                "colorscale": "role:order",
            },
        }
        layout = {
            "xaxis": {"range": span, "zeroline": False, "title": {"text": "cosine direction"}},
            "yaxis": {
                "range": span,
                "zeroline": False,
                "scaleanchor": "x",
                "title": {"text": "sine direction"},
            },
        }
        choice = None
        if self.choice:
            choice = (_nice(self.choice), tuple(str(label) for label in _labels(x[self.choice])))
        if "step" not in lead:
            return _still(self.title, [trace], layout, width=self.width, height=380)
        movers = ((0, "x", x.values), (0, "y", y.values))
        return _moving(self.title, [trace], layout, x, movers, choice=choice, width=self.width, height=380)


@dataclass(frozen=True)
class Scatter:
    """One quantity against another, a point for each place of their one axis, named by it."""

    title: str
    x: xr.DataArray  # [axis]
    y: xr.DataArray
    x_error: xr.DataArray | None = None  # a bar of so much on either side
    log_x: bool = False
    percent: bool = False
    """Of y, a share."""
    width: str = "full"

    def draw(self) -> Drawing:
        axis = str(self.x.dims[0])
        x = _positive(self.x.values) if self.log_x else self.x.values
        name = "" if axis == "run" else f"{_nice(axis)} "  # a run's name says what it is
        trace: dict[str, Any] = {
            "type": "scatter",
            "mode": "markers",
            "x": x,
            "y": self.y.values,
            "hovertext": [f"{name}{label}" for label in _labels(self.x[axis])],
            "hovertemplate": f"%{{hovertext}}: %{{x:.4g}}, %{{y:{'.1%' if self.percent else '.4g'}}}<extra></extra>",
            "marker": {"size": 8, "color": "role:train"},
        }
        if self.x_error is not None:
            error = {"type": "data", "array": self.x_error.values, "color": "role:quiet", "thickness": 1, "width": 0}
            trace["error_x"] = error
        layout: dict[str, dict[str, Any]] = {
            "xaxis": {"title": {"text": _named(self.x)}},
            "yaxis": {"title": {"text": _named(self.y)}},
        }
        if self.log_x:
            few = _ratio(self.x) < 100
            ticks = _one_two_five(_finite(x)) if few else {"exponentformat": "power", "dtick": _decades([self.x])}
            layout["xaxis"] |= {"type": "log", **ticks}
        if self.percent:
            layout["yaxis"] |= {"tickformat": ".0%", "range": [-0.02, 1.04]}
        return _still(self.title, [trace], layout, width=self.width, height=340)


def _one_two_five(values: np.ndarray) -> dict[str, Any]:
    """Ticks of a logarithmic axis at 1, 2 and 5 times the powers of ten, each with its power."""
    decades = np.floor(np.log10(values)).astype(int) if values.size else np.array([0])
    places = [(digit, power) for power in range(decades.min(), decades.max() + 2) for digit in (1, 2, 5)]
    texts = [
        f"{digit * 10.0**power:g}" if -3 < power < 4 else f"{digit}×10<sup>{power}</sup>".replace("-", "−")
        for digit, power in places
    ]
    return {"tickvals": [digit * 10.0**power for digit, power in places], "ticktext": texts}


@dataclass(frozen=True)
class Table:
    """Arrays over one axis beside one another, a row per place of it, for numbers that are read and compared.

    Numbers have `digits` significant digits; where there is none the cell is empty. `highlight` colours the rows where
    its mask is True.
    """

    title: str
    columns: Mapping[str, xr.DataArray]  # heading -> [axis], numbers or text
    highlight: Mapping[str, xr.DataArray] | None = None  # colour role -> [axis]
    digits: int = 7
    width: str = "full"

    def draw(self) -> Drawing:
        first = next(iter(self.columns.values()))
        axis = str(first.dims[0])
        rows = first.sizes[axis]
        colours = ["role:ink"] * rows
        for role, mask in (self.highlight or {}).items():
            colours = [f"role:{role}" if marked else colour for marked, colour in zip(mask, colours, strict=True)]
        look = {"line": {"color": "role:grid"}, "fill": {"color": "role:paper"}, "height": ROW_HEIGHT}
        cells = [[str(label) for label in _labels(first[axis])]]
        cells += [[_cell(value, self.digits) for value in array.values] for array in self.columns.values()]
        numeric = [array.dtype.kind in "fiu" for array in self.columns.values()]
        align = ["left", *("right" if number else "left" for number in numeric)]
        trace = {
            "type": "table",
            "header": {"values": [_nice(axis), *self.columns], "align": align, "font": {"color": "role:muted"}, **look},
            "cells": {"values": cells, "align": align, "font": {"color": [colours]}, **look},
            "columnwidth": [2.2, *(1.0 if number else 1.4 for number in numeric)],
        }
        margin = {"l": 0, "r": 0, "t": 0, "b": 0}
        height = min(ROW_HEIGHT * (rows + 1) + 12, MOST_TABLE_HEIGHT)
        return _still(self.title, [trace], {"margin": margin}, width=self.width, height=height)


@dataclass(frozen=True)
class Density:
    """A histogram with curves over it at the step of the slider, the first thick and the others thin.

    The density's axis is logarithmic: one Gaussian is a parabola. Both axes are the same at every step.
    """

    title: str
    middles: xr.DataArray  # [step, bin]; at one step all bins are equally wide
    heights: xr.DataArray  # [step, bin]
    curves: Mapping[str, tuple[xr.DataArray, xr.DataArray]]  # label -> places, ascending, and density, [step, place]
    width: str = "half"

    def draw(self) -> Drawing:
        moves = "step" in self.heights.dims
        bars, *lines = (
            tuple(array.transpose(*(["step"] if moves else []), ...).values.astype(np.float64) for array in pair)
            for pair in ((self.middles, self.heights), *self.curves.values())
        )
        middles, heights = bars
        positive = _finite(heights[heights > 0])
        drawn = np.concatenate([positive, *(_finite(density) for _, density in lines[:1])])
        low, high = (0.5 * positive.min(), 2 * drawn.max()) if positive.size else (0.1, 10.0)
        shown = [bars, *((places, np.where(density > 1e-3 * low, density, np.nan)) for places, density in lines)]
        looks = [{"color": "role:accent", "width": 2.5}, *([{"color": "role:ink", "width": 1}] * (len(lines) - 1))]
        quantity = _nice(str(self.middles.name or "value"))
        hover = f"{quantity} %{{x:.4g}}: %{{y:.3g}}<extra></extra>"
        kinds: list[dict[str, Any]] = [
            {
                "type": "bar",
                "name": "histogram",
                "marker": {"color": "role:quiet", "line": {"width": 0}},
                "hovertemplate": hover,
            }
        ]
        kinds += [
            {"type": "scatter", "mode": "lines", "name": label, "line": look, "hovertemplate": f"{label}, {hover}"}
            for label, look in zip(self.curves, looks, strict=True)
        ]
        last = -1 if moves else ...
        data = [{**kind, "x": x[last], "y": y[last]} for kind, (x, y) in zip(kinds, shown, strict=True)]
        layout = {
            "xaxis": {"title": {"text": quantity}, "range": _from_edge_to_edge(middles, heights)},
            "yaxis": {
                "type": "log",
                "range": [math.log10(low), math.log10(high)],
                "exponentformat": "power",
                "dtick": max(1, math.ceil(math.log10(high / low) / 6)),
                "title": {"text": "density"},
            },
            "bargap": 0,
            "hovermode": "closest",
        }
        if not moves:
            return _still(self.title, data, layout, width=self.width, height=300)
        movers = tuple(
            (trace, at, values) for trace, pair in enumerate(shown) for at, values in zip("xy", pair, strict=True)
        )
        return _moving(self.title, data, layout, self.heights, movers, width=self.width, height=300)


def _from_edge_to_edge(middles: np.ndarray, heights: np.ndarray) -> list[float]:
    """Of all bins that hold anything, at any step."""
    half = (np.diff(middles, axis=-1)[..., :1] / 2) if middles.shape[-1] > 1 else np.full_like(middles, 0.5)
    low, high = (_finite(np.where(heights > 0, edge, np.nan)) for edge in (middles - half, middles + half))
    return [float(low.min()), float(high.max())] if low.size else [-1.0, 1.0]


ROW_HEIGHT = 24
MOST_TABLE_HEIGHT = 560
"""Longer tables scroll."""


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float | np.floating):
        return f"{value:.{digits}g}" if np.isfinite(value) else ""
    return str(value)


AnyPanel = Curves | Heatmap | Bars | Points | Scatter | Density | Table


def default(result: xr.Dataset) -> list[AnyPanel]:
    """A panel for each array, chosen by its axes; the standard errors `x_se` are bars of the curves of `x`."""
    panels = []
    for name, array in result.data_vars.items():
        panel = of_array(array, result.get(f"{name}_se"))
        beside = result.get(str(name).removesuffix("_se"))
        if panel is not None and not (str(name).endswith("_se") and beside is not None and beside.dims == array.dims):
            panels.append(panel)
    return panels


def of_array(array: xr.DataArray, error: xr.DataArray | None = None) -> AnyPanel | None:
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
    if not others or (len(others) == 1 and array.sizes[others[0]] <= 8):
        lines, errors = _lines(numbers, others), {} if error is None else _lines(error, others)
        return Curves(title, lines, log=_spans_decades(array), errors=errors)
    if len(others) == 1:
        return Heatmap(title, numbers, x="step", y=others[0])
    return Heatmap(title, numbers, x=others[1], y=others[0]) if len(others) == 2 else None


def _lines(array: xr.DataArray, others: list[str]) -> dict[str, xr.DataArray]:
    """One, or one for each place of the other axis."""
    if not others:
        return {"all": array}
    (axis,) = others
    return {str(label): array.isel({axis: place}) for place, label in enumerate(_labels(array[axis]))}


def _still(title: str, data: list[dict[str, Any]], layout: dict[str, Any], **how: Any) -> Drawing:
    return Drawing(title, {"data": data, "layout": layout}, np.array([], np.int64), **how)


def _moving(
    title: str,
    data: list[dict[str, Any]],
    layout: dict[str, Any],
    array: xr.DataArray,
    movers: tuple[tuple[int, str, np.ndarray], ...],
    **how: Any,
) -> Drawing:
    moving = tuple(Moving(*mover) for mover in movers)
    return Drawing(title, {"data": data, "layout": layout}, array.step.values, moving, **how)


def _series_colours(labels: list[str]) -> dict[str, str]:
    spare = [role for role in ("accent", "all", "abandoned", "novel", "muted", "quiet") if role not in labels]
    return {
        label: f"role:{label}" if label in COLOURS else f"role:{spare[place % len(spare)]}"
        for place, label in enumerate(labels)
    }


def _direct_labels(panel: Curves, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each line's name beside its end, spread so that names do not lie on one another."""
    values = {label: _positive(array.values) if panel.log else array.values for label, array in panel.arrays.items()}
    heights = {label: np.log10(value) if panel.log else value for label, value in values.items()}
    finite = np.concatenate([height[np.isfinite(height)] for height in heights.values()])
    if not finite.size:
        return []
    low, high = (-0.02, 1.04) if panel.percent else (float(finite.min()), float(finite.max()))
    gap = (high - low or 1.0) * 0.085
    ends = {label: height[np.isfinite(height)][-1] for label, height in heights.items() if np.isfinite(height).any()}
    places: dict[str, float] = {}
    for label in sorted(ends, key=lambda name: ends[name]):
        places[label] = max([float(ends[label])] + [place + gap for place in places.values()])
    overflow = max([*places.values(), high]) - high
    return [
        {
            "x": 1.0,
            "xref": "paper",
            "xanchor": "left",
            "xshift": 6,
            "y": place - overflow,
            "yref": "y",
            "text": label,
            "showarrow": False,
            "font": {"color": colours[label], "size": 13},
        }
        for label, place in places.items()
    ]


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)


def _decades(arrays: Sequence[xr.DataArray]) -> int:
    positive = np.concatenate([_finite(array.values[array.values > 0]) for array in arrays])
    return max(1, math.ceil(float(np.ptp(np.log10(positive))) / 6)) if positive.size else 1


def _ratio(array: xr.DataArray) -> float:
    """Of the largest value to the smallest above 0."""
    positive = _finite(array.values[array.values > 0])
    return float(positive.max() / positive.min()) if positive.size else 1.0


def _spans_decades(array: xr.DataArray) -> bool:
    values = array.values[np.isfinite(array.values)] if array.dtype.kind == "f" else array.values
    return bool(values.size and values.min() > 0 and values.max() > 1000 * values.min())


def _labels(axis: xr.DataArray) -> np.ndarray:
    return axis.values if axis.dtype.kind not in "O" else axis.values.astype(str)


def _every(count: int) -> int:
    return max(1, round(count / 24))


def _nice(axis: str) -> str:
    return NICE.get(axis, axis)


def _units(array: xr.DataArray) -> str:
    return str(array.attrs.get("units", ""))


def _named(array: xr.DataArray) -> str:
    """What an array is, with its units."""
    return " ".join(filter(None, [str(array.attrs.get("long_name") or array.name or ""), _axis_title(array)]))


def _axis_title(array: xr.DataArray) -> str:
    return f"[{_units(array)}]" if _units(array) else ""
