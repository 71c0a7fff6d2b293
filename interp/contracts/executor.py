"""What works off the pieces of an analysis: here, in worker processes, or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

Tell = Callable[[Any], None]
"""Called by a piece of work with what it has done so far; plain values that JSON can say."""


@runtime_checkable
class Executor(Protocol):
    """Works off pieces in any order. A piece writes its own files, and is told anew where its worker was killed."""

    def run(self, function: Callable[[Any, Tell], Any], pieces: Iterable[Any], tell: Tell) -> Iterator[Any]:
        """What `function(piece, tell)` returns for each of the pieces, as they finish.

        Raises what the function raises, after which no more pieces are begun, and InterpError where a worker was
        killed.
        """
        ...
