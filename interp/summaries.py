"""What is said of a run in words: a measure's sentence with its numbers and phases, a number, a list of steps."""

from __future__ import annotations

from collections.abc import Sequence
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


def number(value: float, digits: int = 2) -> str:
    """`value` as one writes it in a sentence: -1e-07 as −1×10⁻⁷, 0.0028 as it is."""
    mantissa, _, power = f"{value:.{digits}g}".replace("-", "−").partition("e")
    exponent = power.replace("−0", "−").replace("+0", "").replace("+", "")
    return f"{mantissa}×10{exponent.translate(SUPERSCRIPTS)}" if power else mantissa


SUPERSCRIPTS = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def listed_steps(steps: Sequence[int]) -> str:
    """Steps as one writes them: "step 100", "steps 100, 200 and 300", "41 steps from 0 to 4,000".

    They are in ascending order, and at least one.
    """
    shown = [f"{step:,}" for step in steps]
    if len(shown) == 1:
        return f"step {shown[0]}"
    if len(shown) > 6:
        return f"{len(shown)} steps from {shown[0]} to {shown[-1]}"
    return f"steps {', '.join(shown[:-1])} and {shown[-1]}"
