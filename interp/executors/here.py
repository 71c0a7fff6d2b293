"""One piece after another, in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from interp.contracts.executor import Executor, Tell


@contextlib.contextmanager
def here(jobs: int, folder: Path) -> Iterator[Executor]:  # noqa: ARG001 (there is one, and it needs no folder)
    """Work in this process, one piece after another, whatever `jobs` says."""
    yield _Here()


class _Here:
    def run(self, function: Callable[[Any, Tell], Any], pieces: Iterable[Any], tell: Tell) -> Iterator[Any]:
        for piece in pieces:
            yield function(piece, tell)
