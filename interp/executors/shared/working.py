"""An executor that works into a folder, which is held for this process meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from interp.catalogue.names import load
from interp.contracts.executor import Executor
from interp.files.lock import locked
from interp.machine import workers


@contextlib.contextmanager
def working(folder: Path, purpose: str, jobs: int, name: str | None = None) -> Iterator[Executor]:
    """Hold `folder`, and an executor of so many jobs that works into it.

    `name` is that of an executor, or the address of a dask scheduler, "tcp://…"; without one the jobs decide. Raises
    InterpError where the folder is in use, and says by what `purpose`, or where there is no such executor.
    """
    scheduler = {"scheduler": name} if name and "://" in name else {}
    make = load("executors", "dask" if scheduler else name or ("processes" if jobs > 1 else "here"))
    with locked(folder, purpose):
        workers.wait_for_those_left(folder)
        with make(jobs, folder, **scheduler) as executor:
            yield executor
