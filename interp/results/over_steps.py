"""Measures over a run: labelled arrays, computed once, kept on disk, resumed.

Each checkpoint is visited once for all the measures asked for, and its forward pass is shared. Rows are written as
they are finished, so a killed analysis goes on where it was.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from interp.catalogue.names import load
from interp.contracts.executor import Executor
from interp.errors import InterpError, NoNumbersError, NothingToSay
from interp.files.lock import locked
from interp.machine import workers
from interp.recipes.asks import asks
from interp.recipes.step_choice import Steps
from interp.results.account import NOTHING, Silent
from interp.results.computing import Request, compute, is_across
from interp.results.progress import Progress
from interp.results.series import Series


def over_steps(
    measures: str | Iterable[Any] | Mapping[str, Any],
    run: Series,
    steps: Steps = "all",
    keep: str | Path | None = None,
    jobs: int = 1,
    progress: Callable[[Progress], None] | None = None,
) -> Any:
    """Measures over a run, as labelled arrays.

    One measure by name gives an `xarray.Dataset`; a list or a mapping gives an `xarray.DataTree` with a node per
    measure, `results.embedding_dft.power`. With `keep`, a folder, results are stored there and only what is missing or
    was made from something else is computed. `jobs` worker processes share the work; the numbers do not depend on how
    many. `progress(Progress)` is called as rows are begun and finished.

    Checkpoints that cannot be read are left out, with a warning, and where one is replaced meanwhile its rows are
    computed again. A measure that has nothing to say of the run is an empty node, whose attribute `nothing_to_say` is
    the reason.

    Raises InterpError where a measure, option or step is not there, or `keep` is in use; NothingToSay where nothing
    that was asked for says anything at any step.
    """
    if not isinstance(run, Series):
        raise InterpError(f"{run!r} is not a run; open it first: interp.open_run({str(run)!r})")
    wanted = asks(measures)
    for ask in wanted:
        if is_across(ask):
            raise InterpError(f"{ask.measure} measures several runs together: name it, and them, in an analysis")
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()) if keep is None else keep)
        with working(folder, jobs) as executor:
            (found,) = compute([Request(tuple(wanted), (run,), folder, steps)], executor, jobs, progress)
        if isinstance(found, NoNumbersError):
            raise found
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


@contextlib.contextmanager
def working(folder: Path, jobs: int, name: str | None = None) -> Iterator[Executor]:
    """Hold `folder`, and an executor of so many jobs that works into it; by name, or the one that suits the jobs.

    Raises InterpError where the folder is in use, or there is no such executor.
    """
    make = load("executors", name or ("processes" if jobs > 1 else "here"))
    with locked(folder, "an analysis"):
        workers.wait_for_those_left(folder)
        with make(jobs, folder) as executor:
            yield executor


def _node(result: xr.Dataset | Silent) -> xr.Dataset:
    if isinstance(result, Silent):
        return xr.Dataset(attrs={"measure": result.measure, NOTHING: result.reason})
    return result
