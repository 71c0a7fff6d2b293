"""Worker processes of this machine, started once for all the pieces they are given."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from interp.contracts.executor import Executor, Tell
from interp.errors import InterpError
from interp.machine import workers

SECONDS_BETWEEN_LOOKS = 0.2


@contextlib.contextmanager
def processes(jobs: int, folder: Path) -> Iterator[Executor]:
    """Work in `jobs` worker processes, which end with this one; `folder` is held by this process."""
    told = folder / f".told.{os.getpid()}.tmp"  # a temporary file, which whoever holds the folder next removes
    try:
        with workers.pool(jobs, folder) as pool:
            yield _Processes(pool, told)
    finally:
        told.unlink(missing_ok=True)


class _Processes:
    """Workers write what they have done to a file, a line each time.

    A file that is appended to needs no lock, and a worker that is killed while it writes hinders nobody.
    """

    def __init__(self, pool: concurrent.futures.ProcessPoolExecutor, told: Path) -> None:
        self._pool, self._told = pool, told

    def run(self, function: Callable[[Any, Tell], Any], pieces: Iterable[Any], tell: Tell) -> Iterator[Any]:
        pieces = list(pieces)
        if len(pieces) == 1:  # which no second worker could help with
            yield function(pieces[0], tell)
            return
        self._told.write_text("", encoding="utf-8")
        seen = 0
        try:
            waiting = {self._pool.submit(_worked, function, piece, self._told) for piece in pieces}
            while waiting:
                done, waiting = concurrent.futures.wait(
                    waiting, SECONDS_BETWEEN_LOOKS, concurrent.futures.FIRST_COMPLETED
                )
                seen = self._pass_on(tell, seen)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise InterpError(
                "a worker process was killed (out of memory?); what was finished is kept: start again to go on"
            ) from None
        except BaseException:  # Ctrl-C too: without this the pool would first work off every piece that waits
            self._pool.shutdown(wait=False, cancel_futures=True)
            raise

    def _pass_on(self, tell: Tell, seen: int) -> int:
        """Tell what was written since byte `seen`; how far that was."""
        with open(self._told, "rb") as file:
            file.seek(seen)
            lines, newline, _ = file.read().rpartition(b"\n")
        for line in lines.splitlines():
            with contextlib.suppress(ValueError):  # two workers' lines may run into one another
                tell(json.loads(line))
        return seen + len(lines) + len(newline)


def _worked(function: Callable[[Any, Tell], Any], piece: Any, told: Path) -> Any:
    return function(piece, functools.partial(_write_down, told))


def _write_down(told: Path, what: Any) -> None:
    with contextlib.suppress(OSError), open(told, "a", encoding="utf-8") as file:
        file.write(json.dumps(what) + "\n")
