"""What a notebook shows: panels as plotly figures, and a report from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from interp.checkpoints import Run
from interp.errors import InterpError
from interp.figures import Panel
from interp.figures.choice import of_array
from interp.figures.plotly_figure import panel_figure, plotly_figure
from interp.recipes.asks import asks
from interp.recipes.step_choice import Steps

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["figure", "panel_figure", "write_report"]

DEFAULT_MEASURES = ("loss", "embedding_dft", "embedding_circle", "key_freqs", "weight_norm")


def figure(shown: xr.DataArray | Panel, step: int | None = None) -> go.Figure:
    """A panel, or an array by its axes, as a plotly figure; with a slider over steps where something moves.

    Raises InterpError where no panel suits the array's axes.
    """
    if isinstance(shown, Panel):
        return plotly_figure(shown.draw(), step)
    if not isinstance(shown, xr.DataArray) or shown.dtype.kind not in "fiub":
        raise InterpError("figure draws one array of numbers, such as results.loss.test_loss, or a panel")
    panel = of_array(shown)
    if panel is None:
        raise InterpError(
            f"{shown.name} has the axes {shown.dims}; select from them until at most two are left beside the step"
        )
    return plotly_figure(panel.draw(), step)


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
    from interp.recipes.analysis_recipe import Analysis
    from interp.report import write

    target = Path(path) if path is not None else Path("reports") / f"{run.name}.html"
    wanted = asks(measures if measures is not None else DEFAULT_MEASURES)
    asked_by = Path("interp.write_report")
    write.report(Analysis(asked_by, title or run.name, run.text, (), steps, tuple(wanted)), [run], target)
    return target
