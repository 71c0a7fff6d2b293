"""Measures over a run: labelled arrays, computed once, kept on disk, resumed.

Each checkpoint is visited once for all the measures asked for, and its forward pass is shared. Rows are written as
they are finished, so a killed analysis goes on where it was.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from interp.errors import InterpError, NoNumbersError, NothingToSay
from interp.executors.shared.working import working
from interp.recipes.asks import Ask, asks
from interp.recipes.step_choice import Steps
from interp.results.account import NOTHING, Silent
from interp.results.computing import Request, compute, is_across
from interp.results.of_members import answers, check, is_of_results
from interp.results.progress import Progress
from interp.results.series import Series, SeriesGrid


def over_steps(
    measures: str | Iterable[Any] | Mapping[str, Any],
    run: Series | SeriesGrid,
    steps: Steps = "all",
    keep: str | Path | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Any:
    """Measures over a run, or over the many of a sweep, as labelled arrays.

    One measure by name gives an `xarray.Dataset`; a list or a mapping gives an `xarray.DataTree` with a node per
    measure, `results.embedding_dft.power`. With `keep`, a folder, results are stored there and only what is missing or
    was made from something else is computed. `jobs` worker processes share the work; the numbers do not depend on how
    many. `progress(Progress)` is called as rows are begun and finished.

    Over a sweep the arrays have its axes in front, [seed, weight_decay, step, …], over every step that one of its runs
    has, and are blank where a run has none, and in the places of runs that are not there. A measure of several runs has
    its own axes there, [run], and no other.

    Checkpoints that cannot be read are left out, with a warning, and where one is replaced meanwhile its rows are
    computed again. A measure that has nothing to say of the run is an empty node, whose attribute `nothing_to_say` is
    the reason.

    Where the weights are not there, but results that ship with the recipe, the arrays are those, and nothing is
    computed; a warning says which of them an earlier version made.

    Raises InterpError where a measure, option or step is not there, or `keep` is in use; NothingToSay where nothing
    that was asked for says anything at any step.
    """
    if not isinstance(run, Series | SeriesGrid):
        raise InterpError(f"{run!r} is not a run; open it first: interp.open_run({str(run)!r})")
    wanted = asks(measures)
    for ask in wanted:
        if is_across(ask) and isinstance(run, Series):
            raise InterpError(f"{ask.measure} measures several runs together: name it, and them, in an analysis")
        if is_of_results(ask) and isinstance(run, Series):
            raise InterpError(f"{ask.measure} compares the runs of a sweep, and {run.name} is one run")
    measured = [ask for ask in wanted if not is_of_results(ask)]
    if isinstance(run, SeriesGrid):
        check(wanted, run.axes)
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()) if keep is None else keep)
        with working(folder, "an analysis", jobs) as executor:
            if isinstance(run, Series):
                requests = [Request(tuple(wanted), (run,), folder, steps)]
            else:
                requests = over_grid(measured, run, folder, steps)
            for remark in run.shipped.remarks(measured)[1:] if run.shipped else ():
                warnings.warn(f"{run.name}: {remark}", stacklevel=2)
            found: dict[str, Any] = {}
            for one in compute(requests, executor, jobs, progress):
                if isinstance(one, NoNumbersError):
                    raise one
                found |= one
            if isinstance(run, SeriesGrid):
                found |= answers(wanted, found, run.axes)
        found = {ask.label: found[ask.label] for ask in wanted}
        silent = [result.reason for result in found.values() if isinstance(result, Silent)]
        if len(silent) == len(wanted):
            raise NothingToSay("; ".join(dict.fromkeys(silent)))
        nodes = {label: _node(result) for label, result in found.items()}
        if keep is None:
            nodes = {label: node.load() for label, node in nodes.items()}
    if isinstance(measures, str):
        return nodes[wanted[0].label]
    tree = xr.DataTree.from_dict(nodes, name=run.name)
    for label, node in nodes.items():
        tree[label].set_close(node.close)  # the tree holds copies, which would leave the files open
    return tree


def over_grid(wanted: Sequence[Ask], grid: SeriesGrid, folder: Path, steps: Steps) -> list[Request]:
    """What is computed of many runs: measures of one, on the axes of the grid, and measures of all of them together."""
    if grid.shipped:
        return [Request(tuple(wanted), (), folder, steps, grid=grid)]
    across = tuple(ask for ask in wanted if is_across(ask))
    own = tuple(ask for ask in wanted if ask not in across)
    requests = [Request(own, (), folder, steps, grid=grid)] if own else []
    if across:
        runs = tuple(grid.opened(place) for place in grid.places)
        requests.append(Request(across, runs, folder, across=True))
    return requests


def _node(result: xr.Dataset | Silent) -> xr.Dataset:
    if isinstance(result, Silent):
        return xr.Dataset(attrs={"measure": result.measure, NOTHING: result.reason})
    return result
