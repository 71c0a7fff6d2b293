"""What results ask of a run: checkpoints by step, and what an answer was made from. They know no more of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

from interp.provenance import Reads


@runtime_checkable
class Moment(Protocol):
    """A checkpoint: what a measure is called on."""

    step: int

    @property
    def digest(self) -> str: ...

    @property
    def finite(self) -> bool:
        """Whether every weight is a finite number."""
        ...

    def measure(self, name: str, **options: Any) -> Any: ...


@runtime_checkable
class Series(Protocol):
    """A run: checkpoints by step, as they were when it was opened."""

    name: str

    @property
    def steps(self) -> list[int]:
        """Ascending. Raises InterpError where there is no checkpoint that can be read."""
        ...

    def __getitem__(self, step: Any) -> Moment: ...

    @property
    def origin(self) -> Reads:
        """What every answer on it is made from, beside weights."""
        ...

    def answer(self, question: str) -> str:
        """The present answer to a question that was noted while something was computed from it."""
        ...

    def visiting(self, steps: Sequence[int]) -> Self:
        """The run as part of an analysis that visits these steps."""
        ...

    def scoped(self, scope: str) -> Self:
        """The run for a measure of several, which notes its questions with `scope` before them."""
        ...

    def has_changed(self) -> bool:
        """Whether its weights are no longer those of when it was opened."""
        ...

    def refreshed(self, steps: Sequence[int] | None = None) -> Self:
        """The run as it is now, at these steps."""
        ...
