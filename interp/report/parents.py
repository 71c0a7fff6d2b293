"""What a report shows of the run from which another started: its curves up to there, on the axis of the child's.

Those of a parent that the report is about too are there for every measure; of another the measures that cost little are
computed, at its checkpoints up to the child's first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from interp.checkpoints import Run, Sweep
from interp.errors import InterpError
from interp.recipes.asks import Ask
from interp.recipes.step_choice import Steps
from interp.results.computing import Request, Result

CHEAP = ("loss", "weight_norm")
FEWEST = 2
"""So many points make a line."""

Before = Mapping[str, xr.Dataset]
"""Label -> what was measured of a run's parent, up to the step at which the run starts."""


def requests(asks: Sequence[Ask], runs: Sequence[Run | Sweep], folder: Path, steps: Steps) -> dict[str, Request]:
    """Name of a run -> what is to be computed of its parent; nothing of one that cannot be read."""
    cheap = tuple(dataclasses.replace(ask, steps=None) for ask in asks if ask.measure in CHEAP)
    found = {}
    for run in runs if cheap else ():
        parent = _parent(run)
        if isinstance(run, Run) and parent is not None and _among(parent, runs) is None:
            upto = parent.at([step for step in parent.known_steps if step <= _start(run)])
            visited = {"count": 50} if isinstance(steps, list) else steps
            try:
                enough = len(upto.steps) >= FEWEST
            except InterpError:  # none that can be read: the child's own curves stand alone
                continue
            if enough:
                found[run.name] = Request(cheap, (upto,), folder / run.name / "parent", visited)
    return found


def before(
    runs: Sequence[Run | Sweep],
    results: Mapping[str, Mapping[str, Result]],
    of_parents: Mapping[str, Mapping[str, Result]],
) -> dict[str, Before]:
    """Name of a run -> what is known of its parent, by label: `results` are those of the runs themselves."""
    found = {}
    for run in runs:
        parent = _parent(run)
        there = None if parent is None else _among(parent, runs)
        known = of_parents.get(run.name, {}) if there is None else results.get(there.name, {})
        if isinstance(run, Run) and known:
            found[run.name] = _up_to(_start(run), known)
    return found


def _up_to(start: int, results: Mapping[str, Result]) -> dict[str, xr.Dataset]:
    kept = {
        label: result.isel(step=result.step.values <= start)
        for label, result in results.items()
        if isinstance(result, xr.Dataset) and "step" in result.dims
    }
    return {label: result for label, result in kept.items() if result.sizes["step"] >= FEWEST}


def _parent(run: Run | Sweep) -> Run | None:
    return run.parent if isinstance(run, Run) else None


def _start(run: Run) -> int:
    return run.child_of.step if run.child_of else 0


def _among(parent: Run, runs: Sequence[Run | Sweep]) -> Run | None:
    """The run that the parent is, where the report is about it too."""
    places = {run.path.resolve(): run for run in runs if isinstance(run, Run)}
    return places.get(parent.path.resolve())
