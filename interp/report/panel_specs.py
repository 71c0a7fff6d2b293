"""Drawn panels -> what the page's script draws: plain figures, and blocks for the arrays that follow the slider."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.figures import DrawnPanel
from interp.report.blocks import ArrayStore, every, fit
from interp.report.json_values import plain

PANEL_BYTES = 700_000
"""At most so much, before base64, for what moves in one panel."""
PAGE_BYTES = 40_000_000
"""And so much for all panels of a page together."""
DIGITS = 7
"""So many digits the numbers in a figure keep: more than a pixel can show."""


@dataclass(frozen=True)
class ColourKey:
    """What the ends of a heatmap's scale stand for."""

    scale: str
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class LineName:
    """The name of a line that has it at its end, and the colour role of both."""

    text: str
    role: str


@dataclass(frozen=True)
class PanelSpec:
    """A panel as the page's script has it."""

    script: dict[str, Any]
    """As JSON says it: the figure, its steps, and the names of the blocks of what moves."""
    key: ColourKey | None
    note: str
    """What was left out for the sake of the page's size."""
    line_names: tuple[LineName, ...]
    """In the order of the lines: they stand above the plot where there is no room beside it."""


def panel_spec(panel: DrawnPanel, store: ArrayStore, budget: int = PANEL_BYTES) -> PanelSpec:
    """Put the panel's moving arrays into `store`, in at most about `budget` bytes, and describe it for the script."""
    figure = _fixed_colour_ranges(panel)
    logarithmic = panel.figure.get("layout", {}).get("yaxis", {}).get("type") == "log"
    smallest = 2 if logarithmic else 1  # 254 levels hold two decades
    item_size, stride = fit([moving.values for moving in panel.moving], budget, smallest)
    kept = every(stride, len(panel.steps))
    script = {
        "title": panel.title,
        "figure": plain(figure, DIGITS),
        "steps": plain(np.asarray(panel.steps)[kept]),
        "moving": [
            {
                "trace": moving.trace,
                "attribute": moving.attribute,
                "array": store.add(moving.values[kept], item_size),
            }
            for moving in panel.moving
        ],
        "time_axis": panel.time_axis,
        "width": panel.width,
        "height": panel.height,
    }
    note = f"frames every {_ordinal(stride)} checkpoint" if stride > 1 else ""
    return PanelSpec(script, _colour_key(figure), note, _line_names(figure))


def budget_for(panels: Iterable[DrawnPanel]) -> int:
    """Bytes that each panel of a page may use for what moves in it."""
    moving = sum(bool(panel.moving) for panel in panels)
    return min(PANEL_BYTES, PAGE_BYTES // max(moving, 1))


def _fixed_colour_ranges(panel: DrawnPanel) -> dict[str, Any]:
    """The figure, its heatmaps with one colour range for all steps: a colour means the same in every frame."""
    traces = [dict(trace) for trace in panel.figure.get("data", [])]
    for number, trace in enumerate(traces):
        if trace.get("type") != "heatmap" or "coloraxis" in trace:
            continue
        trace["showscale"] = False
        frames = [moving.values for moving in panel.moving if (moving.trace, moving.attribute) == (number, "z")]
        low, high = _extent(frames[0] if frames else trace.get("z"))
        if trace.get("colorscale") == "role:diverging":
            low, high = -max(-low, high), max(-low, high)
        elif low > 0:
            low = 0.0
        trace["zmin"], trace["zmax"] = trace.get("zmin", low), trace.get("zmax", high)
    return {"data": traces, "layout": panel.figure.get("layout", {})}


def _extent(values: Any) -> tuple[float, float]:
    """The smallest and the largest of the numbers that are finite; 0 and 1 where none is."""
    numbers = np.array([] if values is None else values, dtype=float)
    finite = numbers[np.isfinite(numbers)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _colour_key(figure: dict[str, Any]) -> ColourKey | None:
    """The scale of the first heatmap that has one of ours."""
    for trace in figure["data"]:
        scale = trace.get("colorscale")
        if trace.get("type") == "heatmap" and isinstance(scale, str) and scale.startswith("role:"):
            title = trace.get("colorbar", {}).get("title", "")
            label = title.get("text", "") if isinstance(title, dict) else str(title)
            return ColourKey(scale.removeprefix("role:"), float(trace["zmin"]), float(trace["zmax"]), label)
    return None


def _line_names(figure: dict[str, Any]) -> tuple[LineName, ...]:
    """The names that stand at the ends of lines."""
    lines = [trace.get("name") for trace in figure["data"]]
    names = [
        LineName(str(note["text"]), str(note.get("font", {}).get("color", "")).removeprefix("role:"))
        for note in figure["layout"].get("annotations", [])
        if (note.get("xref"), note.get("x"), note.get("xanchor")) == ("paper", 1.0, "left")
    ]
    places = {name: place for place, name in enumerate(lines)}
    return tuple(sorted(names, key=lambda name: places.get(name.text, len(lines))))


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
