"""What a notebook shows: panels as plotly figures, and a report from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from interp.checkpoints import Run
from interp.errors import InterpError, near_misses
from interp.figures import AnyPanel, panels
from interp.figures.colours import COLOURS, resolved
from interp.figures.drawing import Drawing
from interp.recipes.step_choice import Steps
from interp.results import over_steps

if TYPE_CHECKING:
    import plotly.graph_objects as go

FRAMES_IN_A_NOTEBOOK = 120
DEFAULT_MEASURES = ("loss", "embedding_dft", "embedding_circle", "key_freqs", "weight_norm")


def figure(shown: xr.DataArray | AnyPanel, step: int | None = None) -> go.Figure:
    """A panel, or an array by its axes, as a plotly figure; with a slider over steps where something moves.

    Raises InterpError where no panel suits the array's axes.
    """
    if isinstance(shown, AnyPanel):
        return drawn(shown.draw(), step)
    if not isinstance(shown, xr.DataArray) or shown.dtype.kind not in "fiub":
        raise InterpError("figure draws one array of numbers, such as results.loss.test_loss, or a panel")
    panel = panels.of_array(shown)
    if panel is None:
        raise InterpError(
            f"{shown.name} has the axes {shown.dims}; select from them until at most two are left beside the step"
        )
    return drawn(panel.draw(), step)


def panel_figure(panels: Sequence[AnyPanel], title: str | None, step: int | None = None) -> go.Figure:
    """The panel titled `title`; else the first, or, given a step, the first that moves with it."""
    drawings = [panel.draw() for panel in panels]
    if title is not None:
        named = [drawing for drawing in drawings if drawing.title.casefold() == title.casefold()]
        if not named:
            raise InterpError(f"no panel {title!r}{near_misses(title, [drawing.title for drawing in drawings])}")
        drawings = named
    elif step is not None:
        drawings = [drawing for drawing in drawings if drawing.moving] + drawings
    if not drawings:
        raise InterpError("this measure has nothing to draw")
    return drawn(drawings[0], step)


def drawn(drawing: Drawing, step: int | None = None) -> go.Figure:
    """The drawing with the light theme's colours: at `step`, or with plotly's own slider over the steps."""
    import plotly.graph_objects as go

    content = resolved(drawing.figure)
    shown = go.Figure(content["data"], content["layout"])
    shown.update_layout(
        title=drawing.title,
        template="plotly_white",
        height=drawing.height + 120,
        font_color=COLOURS["ink"][0],
    )
    if drawing.time_axis and step is not None:
        shown.add_vline(x=step, line_width=1)
    if not drawing.moving:
        return shown
    if step is not None:
        place = max(int(np.searchsorted(drawing.steps, step, side="right")) - 1, 0)
        shown.update_layout(title=f"{drawing.title}, step {int(drawing.steps[place]):,}")
        shown.update(data=_frame(drawing, place))
        return shown
    places = np.unique(np.linspace(0, len(drawing.steps) - 1, FRAMES_IN_A_NOTEBOOK).round().astype(int)).tolist()
    shown.frames = [go.Frame(name=str(int(drawing.steps[place])), data=_frame(drawing, place)) for place in places]
    steps = [
        {
            "method": "animate",
            "label": frame.name,
            "args": [[frame.name], {"mode": "immediate", "frame": {"duration": 0}}],
        }
        for frame in shown.frames
    ]
    shown.update_layout(sliders=[{"steps": steps, "active": len(steps) - 1, "currentvalue": {"prefix": "step "}}])
    return shown


def _frame(drawing: Drawing, place: int) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = [{"type": trace["type"]} for trace in drawing.figure["data"]]
    for mover in drawing.moving:
        values = mover.values[place]
        traces[mover.trace][mover.attribute] = values[0] if drawing.choice else values
    return traces


def write_report(
    run: Run,
    path: str | Path | None = None,
    measures: Iterable[Any] | Mapping[str, Any] | None = None,
    steps: Steps = "all",
    title: str | None = None,
) -> Path:
    """Write a report on `run` to `path` (default `reports/<run>.html`) and return the path.

    `measures` as for `over_steps`; by default those of `analyses/fourier.yaml`. Raises InterpError.
    """
    from interp.report import write

    target = Path(path) if path is not None else Path("reports") / f"{run.name}.html"
    asks = over_steps.asks(measures if measures is not None else DEFAULT_MEASURES)
    write.report(title or run.name, "interp.write_report", run.text, asks, [run], steps, target, keep=None)
    return target
