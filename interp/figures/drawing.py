"""A plotly figure and what moves in it: where measures, notebooks and reports meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Moving:
    """One array of a drawing that follows the slider: `values[step]` or `values[step, choice]`.

    It replaces `attribute` (a plotly path such as "y", "z" or "marker.color") of trace number `trace`.
    """

    trace: int
    attribute: str
    values: np.ndarray


@dataclass(frozen=True)
class Drawing:
    """A plotly figure and what moves in it.

    Colours in `figure` may be roles, "role:train" or "role:sequential", keys of `interp.colours.COLOURS` and `SCALES`;
    `interp.colours.resolved` and the report's script put the theme's colour in their place.
    """

    title: str
    figure: dict[str, Any]  # {"data": [...], "layout": {...}}, complete, at the last step
    steps: np.ndarray  # [step], the first axis of every `moving` array; empty where nothing moves
    moving: tuple[Moving, ...] = ()
    time_axis: bool = False  # the x axis is the training step: shaded by phase, crossed by the cursor
    choice: tuple[str, tuple[str, ...]] | None = None  # axis and labels of the second axis of `moving`
    width: str = "full"  # "full", "half" or "third" of the column
    height: int = 260  # pixels
