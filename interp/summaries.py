"""What is said of a run in words: numbers, counts and lists as one writes them in a sentence, and plain sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
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
    """A sentence as it is, its numbers between ** and ** underlined in the report; the same numbers for a script.

    What it says cannot be checked against the arrays, so that the report puts it among the details. An
    `interp.findings.Finding` is made from records of what it claims.
    """

    sentence: str
    values: dict[str, Any] = field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    """What the report shades behind every curve over training."""


def number(value: float, digits: int = 2) -> str:
    """`value` as one writes it in a sentence, to so many digits: −1×10⁻⁷, 0.0028, 6,400; whole numbers in full."""
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return f"{int(value):,}".replace("-", "−")
    if not math.isfinite(value):
        raise ValueError("there is no number to write")
    rounded = float(f"{value:.{digits - 1}e}")
    if 1e-4 <= abs(rounded) < 1e6:
        decimals = max(digits - 1 - math.floor(math.log10(abs(rounded))), 0)
        text = f"{rounded:,.{decimals}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa.replace('-', '−')}×10{str(int(power)).translate(SUPERSCRIPTS)}"


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float, decimals: int = 0) -> str:
    """A share as a percentage: "84%". What is not quite none or all of it is not rounded to that: "99.96%"."""
    if share in (0, 1):
        return f"{share:.0%}"
    for places in range(decimals, MOST_DECIMALS + 1):
        text = f"{100 * share:,.{places}f}"
        if float(text.replace(",", "")) not in (0, 100):
            return f"{text.replace('-', '−')}%"
    return "over 99.999%" if 0.5 < share < 1 else "100%" if share > 0.5 else "under 0.001%"


MOST_DECIMALS = 3


def plural(noun: str) -> str:
    """The plural of a noun of ours: neurons, frequencies, matrices."""
    return IRREGULAR.get(noun) or (re.sub("y$", "ie", noun) + "s" if re.search("[^aeiou]y$", noun) else f"{noun}s")


VERBS = ("agrees", "differs", "ends", "holds", "stands")
IRREGULAR = {"matrix": "matrices", "is": "are", "has": "have", "was": "were", "varies": "vary"}
IRREGULAR |= {verb: verb[:-1] for verb in VERBS}


def counted(count: int, noun: str) -> str:
    """How many of a thing: "1 neuron", "12 neurons"."""
    return f"{number(int(count))} {noun if count == 1 else plural(noun)}"


def named(noun: str, labels: Sequence[Any]) -> str:
    """Things by their labels: "frequency 2", "frequencies 2, 5 and 8"."""
    return f"{noun if len(labels) == 1 else plural(noun)} {listed(labels)}"


def listed(parts: Iterable[Any]) -> str:
    """Parts as one lists them: "a, b and c"."""
    texts = [number(part) if isinstance(part, int | float) else str(part) for part in parts]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def listed_steps(steps: Sequence[int]) -> str:
    """Steps as one writes them: "step 100", "steps 100, 200 and 300", "41 steps from 0 to 4,000".

    They are in ascending order, and at least one.
    """
    if len(steps) > 6:
        return f"{len(steps)} steps from {steps[0]:,} to {steps[-1]:,}"
    return named("step", [int(step) for step in steps])


def without_capital(text: str) -> str:
    """`text` with a small first letter, unless it begins with a symbol or an abbreviation: "L2 norm"."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
