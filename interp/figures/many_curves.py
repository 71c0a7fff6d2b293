"""The curves of many runs over training: each of them faint, and what most of them do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from interp.figures.axes import PERCENT, axis_name, axis_title, decades_per_tick, end_to_end, labels, positive, units
from interp.figures.curves import SPARE_COLOURS
from interp.figures.panel import DrawnPanel

MOST_FAINT = 120
"""At most so many single curves are drawn, spread evenly over the runs; median and band are those of all of them."""
BAND = (0.1, 0.9)
"""The band reaches from the one quantile of the runs to the other, at each step."""
PLACES = 201
"""Steps from the event at which aligned curves are read, between their own by straight lines."""


@dataclass(frozen=True)
class ManyCurves:
    """One quantity of many runs over training: a faint line for each, their median, and the band of most of them.

    The band holds the middle four fifths of the runs at each step. A run counts where it has a number: one that was
    not measured at a step, or that ended or diverged before, is left out there, and where fewer than half of the runs
    have a number there is no median, for it would be that of the few that go on longest. With `by`, each place of that
    axis has a colour and a median of its own, and there are no bands, which would hide one another. With `event`, the
    curves are moved so that the event of each is at 0, and runs in which it did not happen are left out.
    """

    title: str
    array: xr.DataArray
    """[axis, …, step]."""
    by: str | None = None
    event: xr.DataArray | None = None
    """[axis, …]: the step at which something happened in each run; NaN where it did not."""
    event_name: str = "the event"
    log: bool = False
    percent: bool = False
    width: str = "full"

    def draw(self) -> DrawnPanel:
        axis = self.array.step
        places = axis.values.astype(float)
        if self.event is not None:
            first, last = self._reach(places)
            places = np.linspace(first, last, PLACES)
        traces = [trace for group in self._groups(places) for trace in group]
        y_axis: dict[str, Any] = {"title": {"text": units(self.array)}}
        if self.log:
            every = decades_per_tick(positive(self.array.values.ravel()))
            y_axis |= {"type": "log", "exponentformat": "power", "dtick": every}
        if self.percent:
            y_axis |= PERCENT
        title = axis_title(axis) if self.event is None else f"steps from {self.event_name}"
        layout = {
            "xaxis": {"title": {"text": title}, "range": end_to_end(places)},
            "yaxis": y_axis,
            "showlegend": self.by is not None,
        }
        still = self.event is not None
        return DrawnPanel(self.title, {"data": traces, "layout": layout}, time_axis=not still, width=self.width)

    def _groups(self, places: Float[np.ndarray, " place"]) -> Iterator[list[dict[str, Any]]]:
        """The traces of all runs together, or of each place of the axis that tells them apart."""
        if self.by is None:
            yield self._traces("", self._curves(self.array, self.event, places), "role:all", places)
            return
        for place, label in enumerate(labels(self.array[self.by])):
            at = {self.by: place}
            event = None if self.event is None else self.event.isel(at)
            name = f"{axis_name(self.array[self.by])} {label}"
            colour = f"role:{SPARE_COLOURS[place % len(SPARE_COLOURS)]}"
            yield self._traces(name, self._curves(self.array.isel(at), event, places), colour, places)

    def _curves(
        self, array: xr.DataArray, event: xr.DataArray | None, places: Float[np.ndarray, " place"]
    ) -> Float[np.ndarray, "run place"]:
        """The curve of each run that has any number, at these places."""
        others = [dim for dim in array.dims if dim != "step"]
        values = array.transpose(*others, "step").values.reshape(-1, array.sizes["step"]).astype(float)
        if self.log:
            values = positive(values)
        if event is not None:
            steps, events = array.step.values.astype(float), event.transpose(*others).values.ravel().astype(float)
            pairs = [(curve, at) for curve, at in zip(values, events, strict=True) if np.isfinite(at)]
            moved = [np.interp(places, steps - at, curve, left=np.nan, right=np.nan) for curve, at in pairs]
            values = np.array(moved).reshape(len(moved), len(places))  # [run, place], also of no run
        return values[np.isfinite(values).any(axis=1)]

    def _reach(self, steps: Float[np.ndarray, " step"]) -> tuple[float, float]:
        """How far before and after the event the curves are shown: as far as half of the runs reach."""
        assert self.event is not None
        events = self.event.values.ravel().astype(float)
        events = events[np.isfinite(events)]
        middle = float(np.median(events)) if events.size else float(steps[0])
        return float(steps[0]) - middle, float(steps[-1]) - middle

    def _traces(
        self, name: str, curves: Float[np.ndarray, "run place"], colour: str, places: Float[np.ndarray, " place"]
    ) -> list[dict[str, Any]]:
        """The two ends of the band, the faint lines as one trace with gaps, and the median."""
        if not len(curves):
            return []
        faint = curves[np.unique(np.linspace(0, len(curves) - 1, MOST_FAINT).round().astype(int))]
        gaps = np.concatenate([faint, np.full((len(faint), 1), np.nan)], axis=1)  # [run, place and a gap]
        several = len(curves) > 1
        low, middle, high = _quantiles(curves, math.ceil(len(curves) / 2))
        line = {"type": "scatter", "mode": "lines", "legendgroup": name, "hoverinfo": "skip", "showlegend": False}
        value = "%{y:.2%}" if self.percent else "%{y:.4g}"
        told = f"median of {len(curves)} runs" if several else "one run"
        edge = line | {"x": places, "line": {"color": "role:grid", "width": 0}}
        band = [edge | {"y": low}, edge | {"y": high, "fill": "tonexty", "fillcolor": "role:grid"}]
        single = line | {
            "x": np.tile(np.append(places, np.nan), len(faint)),
            "y": gaps.ravel(),
            "line": {"color": colour, "width": 1},
            "opacity": 0.18,
        }
        median = line | {
            "x": places,
            "y": middle,
            "name": name or told,
            "line": {"color": colour, "width": 2.5},
            "hoverinfo": "all",
            "hovertemplate": f"{name + ', ' if name else ''}{told}: {value}<extra></extra>",
            "showlegend": bool(name),
        }
        return [*(band if several and self.by is None else []), single, median]


def _quantiles(curves: Float[np.ndarray, "run place"], fewest: int) -> Float[np.ndarray, "quantile place"]:
    """The lower end of the band, the median and the upper end at each place; NaN where fewer runs have a number."""
    found = np.full((3, curves.shape[1]), np.nan)
    known = np.isfinite(curves).sum(axis=0) >= fewest
    found[:, known] = np.nanquantile(curves[:, known], [BAND[0], 0.5, BAND[1]], axis=0)
    return found
