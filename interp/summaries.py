"""What a measure says of a whole run: a sentence, the numbers in it, the phases it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Phase:
    """A stretch of training with a name: from `start` to `end`, in steps."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Summary:
    """A sentence, its numbers between ** and ** underlined in the report; the same numbers for a script."""

    sentence: str
    values: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    """What the report shades behind every curve over training."""
