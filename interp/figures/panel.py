"""What a panel is, from the measure to the page.

A measure asks for a `Panel` (`Curves`, `Heatmap`, …: a title and arrays). `panel.draw()` gives the `DrawnPanel`, a
plotly figure and what moves in it. Notebooks show it as it is; a report places the same one on its page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Panel(Protocol):
    """A picture that a measure asks for. A new kind is a class of these two, in a file of its own."""

    @property
    def title(self) -> str: ...

    def draw(self) -> DrawnPanel: ...


@dataclass(frozen=True)
class Moving:
    """One array of a drawn panel that follows the slider: `values[step]` or `values[step, choice]`.

    It replaces `attribute` (a plotly path such as "y", "z" or "marker.color") of trace number `trace`.
    """

    trace: int
    attribute: str
    values: np.ndarray


@dataclass(frozen=True)
class DrawnPanel:
    """A plotly figure and what moves in it.

    Colours in `figure` may be roles, "role:train" or "role:sequential", keys of `COLOURS` and `SCALES` in
    `interp.figures.colours`; `resolved` there and the report's script put the theme's colour in their place.
    """

    title: str
    figure: dict[str, Any]
    """{"data": [...], "layout": {...}}, complete, at the last step."""
    steps: np.ndarray = field(default_factory=lambda: np.array([], np.int64))
    """[step], the first axis of every array in `moving`; empty where nothing moves."""
    moving: tuple[Moving, ...] = ()
    time_axis: bool = False
    """Whether the x axis is the training step: it is then shaded by phase and crossed by the cursor."""
    shows_before: bool = False
    """Whether it shows what a run's parent had before the run's first step."""
    choice: tuple[str, tuple[str, ...]] | None = None
    """Name and labels of the second axis of the arrays in `moving`, from which the reader picks a place."""
    width: str = "full"
    """"full", "half" or "third" of the column."""
    height: int = 260
    """In pixels."""
    code: str = ""
    """The lines of Python that show it in a notebook, where it is known how its result was made."""
