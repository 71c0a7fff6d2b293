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


def number(value: float, digits: int = 2) -> str:
    """As one writes it in a sentence: -1e-07 as −1×10⁻⁷, 0.0028 as it is."""
    mantissa, _, power = f"{value:.{digits}g}".replace("-", "−").partition("e")
    exponent = power.replace("−0", "−").replace("+0", "").replace("+", "")
    return f"{mantissa}×10{exponent.translate(SUPERSCRIPTS)}" if power else mantissa


SUPERSCRIPTS = str.maketrans("−0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
