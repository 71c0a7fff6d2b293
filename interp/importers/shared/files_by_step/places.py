"""Where the checkpoints of a run lie, what a user said of them, and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from interp.errors import InterpError, shown

Route = tuple[str | int, ...]
"""Keys, one within another, under which a part of a file's content lies; a key may also be the beginning of names."""
Unit = Literal["step", "epoch"]


@dataclass(frozen=True)
class Place:
    """Where one checkpoint is."""

    path: Path
    route: Route = ()
    """Where in the file's content; empty where the file holds one checkpoint alone."""
    row: int | None = None
    """The place on the first axis of every tensor, where checkpoints are stacked there."""


@dataclass(frozen=True)
class Asked:
    """What a user said of where the checkpoints are."""

    pattern: str | None = None
    """Where the step is in a file's name, such as "model_{step}.pt"."""
    entry: str | None = None
    """The key in the file under which the network lies, or the checkpoints do; keys within one another as "a.b"."""
    at_steps: Sequence[int] | Mapping[Any, int] | None = None
    """The steps of checkpoints that lie one after another: a list, or {start, every}."""

    def steps_of(self, n: int, source: str) -> list[int] | None:
        """The steps said of n checkpoints; None where none were. Raises InterpError where they are not as many."""
        match self.at_steps:
            case None:
                return None
            case Mapping() as said if set(said) <= {"start", "every"} and said.get("every", 0) > 0:
                return [said.get("start", 0) + said["every"] * place for place in range(n)]
            case Sequence() as said if len(said) == n and sorted(set(said)) == list(said):
                return list(said)
            case Sequence() as said:
                what = f"{len(said):,} steps were said" if len(said) != n else "the steps said do not ascend"
                raise InterpError(f"{source}: {what}; expected {n:,}, ascending")
        raise InterpError(f"at_steps: {shown(self.at_steps)} should be a list, or {{start: 0, every: 100}}")


@dataclass(frozen=True)
class Found:
    """The checkpoints of one run."""

    places: Mapping[int, Place]
    notes: tuple[str, ...] = ()
    """What a reader should know of how they were found, a sentence each."""
    unit: Unit = "step"
    """What the steps count: updates (or whatever the files call a step), or epochs."""
    skipped: tuple[Path, ...] = ()
    """Files that were looked at and hold no checkpoint of the run."""
    step_told: bool = True
    """Whether the step of one alone is told, inside or by its name; else it is 0."""


class NoWeights(InterpError):  # noqa: N818 (it says what a file is)
    """A file that can be read, and holds no network."""


def listed(names: Iterable[object], most: int = 8) -> str:
    """The first few of these, for a message."""
    texts = [shown(name, 80) for name in names]
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")
