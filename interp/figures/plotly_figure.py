"""Drawn panels as plotly figures, for notebooks; the report has a script of its own for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.errors import InterpError, near_misses
from interp.figures.colours import COLOURS, resolved
from interp.figures.panel import DrawnPanel, Panel

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_FRAMES = 120
"""A slider in a notebook has at most so many: every frame is in the notebook's file."""


def panel_figure(panels: Sequence[Panel], title: str | None = None, step: int | None = None) -> go.Figure:
    """The panel titled `title`; else the first, or, given a step, the first that moves with it.

    Raises InterpError where there is no such panel, with the near misses.
    """
    drawn = [panel.draw() for panel in panels]
    if title is not None:
        named = [panel for panel in drawn if panel.title.casefold() == title.casefold()]
        if not named:
            raise InterpError(f"no panel {title!r}{near_misses(title, [panel.title for panel in drawn])}")
        drawn = named
    elif step is not None:
        drawn = [panel for panel in drawn if panel.moving] + drawn
    if not drawn:
        raise InterpError("this measure has nothing to draw; its numbers are in run.measure(…)")
    return plotly_figure(drawn[0], step)


def plotly_figure(panel: DrawnPanel, step: int | None = None) -> go.Figure:
    """The panel in the light theme's colours: at `step`, or with plotly's own slider over the steps."""
    import plotly.graph_objects as go

    content = resolved(panel.figure)
    figure = go.Figure(content["data"], content["layout"])
    figure.update_layout(
        title=panel.title,
        template="plotly_white",
        height=panel.height + 120,
        font_color=COLOURS["ink"][0],
    )
    if panel.time_axis:
        figure.update_xaxes(tickformat=",d")
        if step is not None:
            figure.add_vline(x=step, line_width=1)
    if panel.moving and step is not None:
        place = max(int(np.searchsorted(panel.steps, step, side="right")) - 1, 0)
        figure.update_layout(title=f"{panel.title}, step {int(panel.steps[place]):,}")
        figure.update(data=_frame(panel, place))
    elif panel.moving:
        _add_slider(figure, panel)
    return figure


def _add_slider(figure: go.Figure, panel: DrawnPanel) -> None:
    """Give the figure frames, evenly spread over the steps with both ends, and a slider that opens at the last."""
    import plotly.graph_objects as go

    places = np.unique(np.linspace(0, len(panel.steps) - 1, MOST_FRAMES).round().astype(int)).tolist()
    figure.frames = [go.Frame(name=str(int(panel.steps[place])), data=_frame(panel, place)) for place in places]
    steps = [
        {
            "method": "animate",
            "label": f"{int(panel.steps[place]):,}",
            "args": [[frame.name], {"mode": "immediate", "frame": {"duration": 0}}],
        }
        for place, frame in zip(places, figure.frames, strict=True)
    ]
    figure.update_layout(sliders=[{"steps": steps, "active": len(steps) - 1, "currentvalue": {"prefix": "step "}}])


def _frame(panel: DrawnPanel, place: int) -> list[dict[str, Any]]:
    """What moves, for each trace, at the step of this place; of several choices the first."""
    traces: list[dict[str, Any]] = [{"type": trace["type"]} for trace in panel.figure["data"]]
    for mover in panel.moving:
        values = mover.values[place]
        traces[mover.trace][mover.attribute] = values[0] if panel.choice else values
    return traces
