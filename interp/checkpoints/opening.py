"""A path becomes a run: the runs of an analysis, opened."""

from __future__ import annotations

from collections.abc import Sequence

from interp.checkpoints.run import Run, open_run
from interp.errors import InterpError
from interp.recipes.run_paths import Source


def open_runs(sources: Sequence[Source], device: str) -> list[Run]:
    """Open several runs. Raises InterpError where two have one name: their results would share a folder."""
    runs = [open_run(source.path, source.importer, device, **source.options) for source in sources]
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            paths = " and ".join(str(run.path) for run in runs if run.name == name)
            raise InterpError(f"two runs are called {name!r}: {paths}; move one, or analyse them apart")
    return runs
