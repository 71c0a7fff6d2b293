"""Drawings -> what the page's script draws: plain figures, and blocks for the arrays that follow the slider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.figures.drawing import Drawing
from interp.report.blocks import ArrayStore, every, fit
from interp.report.json_values import plain

DRAWING_BYTES = 700_000  # at most this much, before base64, for what moves in one drawing
PAGE_BYTES = 40_000_000  # and this much for all drawings of a page together
DIGITS = 7  # of the numbers in a figure: more than a pixel can show


@dataclass(frozen=True)
class ColourKey:
    """What the ends of a heatmap's scale stand for."""

    scale: str
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class PageDrawing:
    """A drawing as the page has it."""

    spec: dict[str, Any]
    key: ColourKey | None
    note: str


def page_drawing(drawing: Drawing, store: ArrayStore, budget: int = DRAWING_BYTES) -> PageDrawing:
    """Put the drawing's moving arrays into `store` and describe it for the script."""
    figure = _fixed_colour_ranges(drawing)
    logarithmic = drawing.figure.get("layout", {}).get("yaxis", {}).get("type") == "log"
    smallest = 2 if logarithmic else 1  # 254 levels hold two decades
    item_size, stride = fit([moving.values for moving in drawing.moving], budget, smallest)
    kept = every(stride, len(drawing.steps))
    spec = {
        "figure": plain(figure, DIGITS),
        "steps": plain(np.asarray(drawing.steps)[kept]),
        "moving": [
            {
                "trace": moving.trace,
                "attribute": moving.attribute,
                "array": store.add(moving.values[kept], item_size),
            }
            for moving in drawing.moving
        ],
        "time_axis": drawing.time_axis,
        "width": drawing.width,
        "height": drawing.height,
    }
    note = f"frames every {_ordinal(stride)} checkpoint" if stride > 1 else ""
    return PageDrawing(spec, _colour_key(figure), note)


def budget_for(drawings: list[Drawing]) -> int:
    """Bytes that each drawing may use for what moves in it."""
    moving = sum(bool(drawing.moving) for drawing in drawings)
    return min(DRAWING_BYTES, PAGE_BYTES // max(moving, 1))


def _fixed_colour_ranges(drawing: Drawing) -> dict[str, Any]:
    """The figure, its heatmaps with one colour range for all steps: a colour means the same in every frame."""
    traces = [dict(trace) for trace in drawing.figure.get("data", [])]
    for number, trace in enumerate(traces):
        if trace.get("type") != "heatmap" or "coloraxis" in trace:
            continue
        trace["showscale"] = False
        frames = [m.values for m in drawing.moving if m.trace == number and m.attribute == "z"]
        low, high = _extent(frames[0] if frames else trace.get("z"))
        if trace.get("colorscale") == "role:diverging":
            low, high = -max(-low, high), max(-low, high)
        elif low > 0:
            low = 0.0
        trace["zmin"], trace["zmax"] = trace.get("zmin", low), trace.get("zmax", high)
    return {"data": traces, "layout": drawing.figure.get("layout", {})}


def _extent(values: Any) -> tuple[float, float]:
    numbers = np.array([] if values is None else values, dtype=float)
    finite = numbers[np.isfinite(numbers)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _colour_key(figure: dict[str, Any]) -> ColourKey | None:
    for trace in figure["data"]:
        scale = trace.get("colorscale")
        if trace.get("type") == "heatmap" and isinstance(scale, str) and scale.startswith("role:"):
            title = trace.get("colorbar", {}).get("title", "")
            label = title.get("text", "") if isinstance(title, dict) else str(title)
            return ColourKey(scale.removeprefix("role:"), float(trace["zmin"]), float(trace["zmax"]), label)
    return None


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
